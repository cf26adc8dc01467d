import { randomUUID } from "node:crypto";
import { chmod, lstat, mkdir, readdir, rename, rmdir, unlink } from "node:fs/promises";

const SLASH = Buffer.from("/");
const OWNER_ALL = 0o700;
/** What is deeper is moved up first: with a name of 255 bytes, no path is over PATH_MAX. */
const DEEP_BYTES = 3800;

/** Removes what is at a path and all below it. Symlinks are removed, not followed; nothing there is a success. */
export async function removePath(path: Buffer): Promise<void> {
  const status = await lstat(path).catch(ifMissing);
  if (status === undefined) return;
  if (!status.isDirectory()) return unlink(path);
  await emptyDirectory(path);
  await rmdir(path);
}

/** Removes what a directory holds. */
export function emptyDirectory(path: Buffer): Promise<void> {
  return empty(path, path);
}

async function empty(directory: Buffer, top: Buffer): Promise<void> {
  for (const entry of await listOpened(directory)) {
    let child = join(directory, entry.name);
    if (!entry.isDirectory()) {
      await unlink(child);
      continue;
    }
    if (child.length > DEEP_BYTES) {
      const shallow = join(top, temporaryName());
      await rename(child, shallow);
      child = shallow;
    }
    await empty(child, top);
    await rmdir(child);
  }
}

/** Puts a new directory, which has nothing but the names of the old one, in its place. */
export async function remakeDirectory(path: Buffer): Promise<void> {
  const parent = path.subarray(0, path.lastIndexOf(SLASH));
  const fresh = join(parent, temporaryName());
  await mkdir(fresh);
  for (const { name } of await listOpened(path)) await rename(join(path, name), join(fresh, name));
  await rmdir(path);
  await rename(fresh, path);
}

/** The entries of a directory, which its owner can change from now on. */
async function listOpened(path: Buffer): ReturnType<typeof list> {
  if (process.getuid?.() !== 0) await chmod(path, OWNER_ALL);
  return list(path);
}

function list(path: Buffer): Promise<{ name: Buffer; isDirectory(): boolean }[]> {
  return readdir(path, { encoding: "buffer", withFileTypes: true });
}

function temporaryName(): Buffer {
  return Buffer.from(`.lamella-${randomUUID()}`);
}

function join(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
