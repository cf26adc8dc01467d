import { readFile } from "node:fs/promises";

const SIGKILL_BIT = 1n << 8n;

/**
 * Whether a thread is on its way to its end: a signal that ends a process is SIGKILL to each of its threads (proc_pid_status(5)).
 * Of a thread that this process does not see nothing is known.
 */
export async function isBeingKilled(pid: number): Promise<boolean> {
  if (pid === 0) return false;
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(orGone);
  if (status === undefined) return true;
  const pending = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)];
  return pending.some(([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n);
}

function orGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error;
}
