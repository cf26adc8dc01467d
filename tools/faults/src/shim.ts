import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants } from "node:os";

import { digestOf } from "@lamella/refs";
import { missing, requireTool } from "@lamella/oracles";

const SOURCE = join(import.meta.dirname, "../shim/faults.c");

/** Calls that change files. `read` is that of a file that is only read. */
export const CALLS = ["open", "rename", "fsync", "write", "truncate", "unlink", "mkdir", "link", "read"] as const;
export type Call = (typeof CALLS)[number];
export type FaultErrno = "ENOSPC" | "EIO" | "EMFILE";

/**
 * What happens at a call: the process is killed before or after it, or when a write has written half; or the call fails, this one
 * (`once`) or all from then on (`on`).
 */
export type FaultKind = "before" | "half" | "after" | "once" | "on";

export interface Fault {
  /** The number of the call, from 1, among those of these kinds. */
  readonly at: number;
  readonly kind: FaultKind;
  readonly errno?: FaultErrno | undefined;
}

export interface ShimOptions {
  /** Calls on paths below it count. */
  readonly directory: string;
  /** Outside of it. */
  readonly trace: string;
  readonly calls: readonly Call[];
  readonly fault?: Fault | undefined;
}

/** A call that was counted; the path is relative to the directory. */
export interface TracedCall {
  readonly number: number;
  readonly call: Call;
  readonly path: string;
}

/** What keeps the shim from being made here. */
export function missingForShim(): string | undefined {
  return process.platform === "linux" ? missing(["cc"]) : "needs Linux";
}

/** Compiles the shim, once for each text of it, and gives its path. */
function compileShim(): string {
  const directory = join(tmpdir(), `lamella-faults-${process.getuid?.() ?? 0}`);
  const path = join(directory, `${digestOf(readFileSync(SOURCE)).slice(7, 23)}.so`);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fresh = `${path}.${process.pid}`;
  execFileSync(requireTool("cc"), ["-shared", "-fPIC", "-O2", "-Wall", "-o", fresh, SOURCE, "-ldl"]);
  renameSync(fresh, path);
  return path;
}

/** The environment of a process that the shim is to be in. */
export function shimEnvironment({ directory, trace, calls, fault }: ShimOptions): NodeJS.ProcessEnv {
  return {
    ...process.env,
    LD_PRELOAD: compileShim(),
    // the calls would be made by the kernel, where nobody can count them
    UV_USE_IO_URING: "0",
    FAULT_DIRECTORY: directory,
    FAULT_TRACE: trace,
    FAULT_CALLS: calls.join(","),
    ...(fault && {
      FAULT_AT: String(fault.at),
      FAULT_HOW: fault.kind,
      FAULT_ERRNO: String(fault.errno === undefined ? 0 : constants.errno[fault.errno]),
    }),
  };
}

export function readTrace(path: string): TracedCall[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [number, call, ...rest] = line.split(" ");
      return { number: Number(number), call: call as Call, path: rest.join(" ") };
    });
}

/** A call as it is the same in every run: names that are made up are left out. */
export function pointOf({ call, path }: TracedCall): string {
  const file = path
    .replace(/sha256[-/][0-9a-f]{64}/, "sha256/…")
    .replace(/[0-9a-f]{64}/, "…")
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "…")
    .replace(/^(ingest\/)sha256.*/, "$1…")
    .replace(/^(disks\/)\..*\.tmp$/, "$1….tmp")
    .replace(/\.tmp-\S+?(\/|$)/, ".tmp$1");
  return `${call} ${file}`;
}
