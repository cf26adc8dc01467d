import { chmod, chown, link, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Changes files below a directory. */
export type FileChange = (root: string) => Promise<void>;

/** Several changes, one after another. */
export function changes(...steps: readonly FileChange[]): FileChange {
  return async (root) => {
    for (const step of steps) await step(root);
  };
}

/** Makes a file, or writes it anew, in place. */
export function file(path: string, content: string | Uint8Array, mode = 0o644): FileChange {
  return async (root) => {
    await writeFile(join(root, path), content);
    await chmod(join(root, path), mode);
  };
}

/** Makes a directory, and those above it that are missing, of the same mode. */
export function directory(path: string, mode = 0o755): FileChange {
  return async (root) => {
    const first = await mkdir(join(root, path), { recursive: true });
    const last = join(root, path);
    for (let made = last; made.length >= (first ?? last).length; made = dirname(made)) await chmod(made, mode);
  };
}

export function removed(path: string): FileChange {
  return (root) => rm(join(root, path), { recursive: true });
}

export function renamed(from: string, to: string): FileChange {
  return (root) => rename(join(root, from), join(root, to));
}

export function hardLink(path: string, target: string): FileChange {
  return (root) => link(join(root, target), join(root, path));
}

export function symbolicLink(path: string, target: string): FileChange {
  return (root) => symlink(target, join(root, path));
}

export function mode(path: string, bits: number): FileChange {
  return (root) => chmod(join(root, path), bits);
}

export function owner(path: string, uid: number, gid: number): FileChange {
  return (root) => chown(join(root, path), uid, gid);
}
