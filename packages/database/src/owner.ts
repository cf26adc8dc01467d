import { readFileSync, readlinkSync } from "node:fs";

import { DatabaseError } from "./errors.js";
import { isTooManyFiles, TOO_MANY_FILES } from "./open-files.js";

/*
 * boot ":" namespaces ":" pid ":" start          a pid alone is given to another process sooner or later
 *
 * boot: the kernel's boot id. namespaces: of pids and of times, in which the two others have their meaning. start: clock ticks from
 * boot to the start of the process. Without a /proc of this namespace, boot, namespaces and start are empty.
 */

/**
 * - `unknown`: on this machine since its boot, but where it cannot be asked for: in another pid namespace, or where there is no /proc to
 *   tell a process from an earlier one of its pid.
 */
export type OwnerState = "alive" | "dead" | "unknown";

/** Text that names this process on this machine, for rows that belong to a process. The same from call to call; without spaces. */
export async function processOwner(): Promise<string> {
  return ownerOfThisProcess();
}

/**
 * Whether the process of a text by `processOwner` still runs. One of another boot does not; one in another pid namespace of this boot
 * counts as running, as nobody can tell. A text of another form names nobody.
 */
export async function isOwnerAlive(owner: string): Promise<boolean> {
  return ownerState(owner) !== "dead";
}

export function ownerOfThisProcess(): string {
  return [...place(), process.pid, startOf(process.pid)?.start ?? ""].join(":");
}

/** As `isOwnerAlive`; what follows a fourth colon is not looked at. */
export function ownerState(owner: string): OwnerState {
  const [boot, namespaces, pid, start] = owner.split(":");
  const [ourBoot, ourNamespaces] = place();
  if (!/^[1-9]\d{0,9}$/.test(pid ?? "") || start === undefined || boot !== ourBoot) return "dead";
  if (namespaces !== ourNamespaces) return "unknown";
  if (!hasProcess(Number(pid))) return "dead";
  const found = startOf(Number(pid));
  // /proc may hide processes of other users
  if (found === undefined || start === "") return "unknown";
  return found.ended || found.start !== start ? "dead" : "alive";
}

function place(): [boot: string, namespaces: string] {
  const boot = procText("sys/kernel/random/boot_id");
  if (boot === undefined) return ["", ""];
  return [boot.trim(), `${namespaceId("pid")}.${namespaceId("time")}`];
}

function namespaceId(kind: string): string {
  return /\d+/.exec(procLink(`self/ns/${kind}`) ?? "")?.[0] ?? "";
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

function startOf(pid: number): { start: string; ended: boolean } | undefined {
  // a /proc of another namespace has other pids
  if (procLink("self") !== String(process.pid)) return undefined;
  const text = procText(`${pid}/stat`);
  if (text === undefined) return undefined;
  // proc(5): the second field is the name in parentheses, which may hold anything; the third is the state, the 22nd the start
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { start: fields[19] ?? "", ended: /^[ZX]/i.test(fields[0] ?? "") };
}

function procText(path: string): string | undefined {
  return orUndefined(() => readFileSync(`/proc/${path}`, "utf8"));
}

function procLink(path: string): string | undefined {
  return orUndefined(() => readlinkSync(`/proc/${path}`));
}

function orUndefined<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    // who this is would be told wrongly, and nobody would respect it
    if (isTooManyFiles(error)) {
      throw new DatabaseError("too_many_files", `cannot tell processes apart: ${TOO_MANY_FILES}`, { cause: error });
    }
    return undefined;
  }
}
