/** A process that is up before a clock starts, as a daemon is: it answers each message with one, and one message is under way at a time. */
import { fork } from "node:child_process";
import { once } from "node:events";

/** What is asked of it before the first round: a daemon has done it before, and code that has run once or twice only is still slow. */
export const CALLS_BEFORE = 3;

export function startProcess(script, parameters = []) {
  const child = fork(script, parameters);
  const exit = once(child, "exit");
  const failed = exit.then(([status]) => {
    throw new Error(`${script} has ended with ${status} and no answer`);
  });
  failed.catch(() => {});
  return {
    async ask(message) {
      child.send(message);
      const [answer] = await Promise.race([once(child, "message"), failed]);
      return answer;
    },
    /** It lets go of what it has open, and ends. */
    async close() {
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}
