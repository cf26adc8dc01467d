import type { BigIntStats } from "node:fs";
import { chmod, lstat, readdir } from "node:fs/promises";

import type { FileKind } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

/** What a name in a checkout was when it was looked at. */
export interface NameState {
  /** Of its inode, also after that number has been given to another one, where the file system keeps times of birth. */
  readonly identity: string;
  readonly kind: FileKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** By path, as a byte string, in no order. */
export type CheckoutScan = Map<string, NameState>;

/** Which bits of its mode an ordinary owner needs to read a file and a directory. */
const READABLE_FILE = 0o400;
const READABLE_DIRECTORY = 0o700;
const AT_A_TIME = 64;

export interface OpenedCheckout {
  readonly scan: CheckoutScan;
  /** Undoes what was done to names that their owner could not read. */
  close(): Promise<void>;
}

/** The path of a name in a checkout. */
export function checkoutPath(target: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${target}/`), Buffer.from(path === "" ? "." : path, "latin1")]);
}

/**
 * Looks at everything in a directory, as it is; what its owner, an ordinary user, may not read is made readable after that, until it is closed.
 * Files that `close` has touched are looked at again.
 */
export async function openCheckout(target: string, { signal }: CallOptions): Promise<OpenedCheckout> {
  const scan: CheckoutScan = new Map();
  const opened: { readonly path: string; readonly mode: number }[] = [];
  const close = async (): Promise<void> => {
    for (const { path, mode } of opened.splice(0).toReversed()) {
      const place = checkoutPath(target, path);
      await chmod(place, mode);
      scan.set(path, nameState(await lstat(place, { bigint: true })));
    }
  };
  const look = async (path: string): Promise<boolean> => {
    const place = checkoutPath(target, path);
    const state = nameState(await lstat(place, { bigint: true }));
    scan.set(path, state);
    const isDirectory = state.kind === "directory";
    const needed = isDirectory ? READABLE_DIRECTORY : READABLE_FILE;
    const isClosed = process.geteuid?.() !== 0 && (state.mode & needed) !== needed;
    if (isClosed && (isDirectory || state.kind === "file")) {
      opened.push({ path, mode: state.mode });
      await chmod(place, state.mode | needed);
    }
    return isDirectory;
  };
  try {
    const waiting = (await look("")) ? [""] : [];
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      const names = await readdir(checkoutPath(target, directory), { encoding: "latin1" });
      const prefix = directory === "" ? "" : `${directory}/`;
      for (let start = 0; start < names.length; start += AT_A_TIME) {
        signal?.throwIfAborted();
        const paths = names.slice(start, start + AT_A_TIME).map((name) => prefix + name);
        const areDirectories = await Promise.all(paths.map(look));
        waiting.push(...paths.filter((_, index) => areDirectories[index]));
      }
    }
    return { scan, close };
  } catch (error) {
    await close();
    throw error;
  }
}

export function nameState(status: BigIntStats): NameState {
  const { dev, ino, birthtimeNs, size, mtimeNs, ctimeNs } = status;
  return {
    identity: `${dev}:${ino}:${birthtimeNs}`,
    kind: kindOf(status),
    mode: Number(status.mode & 0o7777n),
    uid: Number(status.uid),
    gid: Number(status.gid),
    size,
    mtimeNs,
    ctimeNs,
  };
}

function kindOf(status: BigIntStats): FileKind {
  if (status.isFile()) return "file";
  if (status.isDirectory()) return "directory";
  if (status.isSymbolicLink()) return "symlink";
  if (status.isCharacterDevice()) return "char";
  if (status.isBlockDevice()) return "block";
  return status.isFIFO() ? "fifo" : "socket";
}
