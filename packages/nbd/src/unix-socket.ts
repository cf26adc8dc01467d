import { chmod, link, lstat, mkdtemp, rm, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";

import { quote } from "@lamella/refs";

import { NbdError } from "./errors.js";

/** The kernel's `sun_path` without its end. */
const SOCKET_PATH_BYTES_MAX = 107;

/** A socket that is there under its path. */
export interface BoundSocket {
  /** Removes it, if it is still the one. */
  remove(): Promise<void>;
}

/**
 * Binds a unix socket with `listenOn`, in a directory that nobody else can enter, and gives it its path when it has its mode: at no time can
 * it be reached by more than the mode says. A socket that nobody listens on is replaced.
 *
 * @throws {NbdError} `busy` if somebody listens there, `listen_failed` if something else is there or the path is too long
 */
export async function bindUnixSocket(
  { path, mode }: { path: string; mode: number },
  listenOn: (path: string) => Promise<void>,
): Promise<BoundSocket> {
  const room = join(dirname(path), ".nbd-XXXXXX/s");
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX || Buffer.byteLength(room) > SOCKET_PATH_BYTES_MAX)
    throw failed(path, `a socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes, and one beside it has to fit too`);
  const directory = await mkdtemp(join(dirname(path), ".nbd-"));
  const made = join(directory, "s");
  try {
    await listenOn(made);
    await chmod(made, mode);
    const { ino } = await lstat(made);
    await link(made, path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      await removeStale(path);
      await link(made, path);
    });
    return {
      async remove() {
        if ((await inodeAt(path)) === ino) await rm(path, { force: true });
      },
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function removeStale(path: string): Promise<void> {
  if (!(await lstat(path)).isSocket()) throw failed(path, "something else is there");
  if (await answers(path)) throw new NbdError("busy", `cannot listen on ${quote(path)}: another process does`);
  await unlink(path);
}

async function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
}

async function inodeAt(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function failed(path: string, state: string): NbdError {
  return new NbdError("listen_failed", `cannot listen on ${quote(path)}: ${state}`);
}
