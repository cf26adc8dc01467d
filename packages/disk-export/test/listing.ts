import type { FileKind, FileTree } from "@lamella/layer-format";

import { collect, sha256 } from "./bytes.js";

/** One name with everything that a disk is to keep of it, in a form that compares. */
export interface Listed {
  path: string;
  kind: FileKind;
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  links: number;
  /** The first name of its inode. */
  firstName: string;
  linkTarget: string;
  device: string;
  xattrs: Record<string, string>;
  /** Of a file. */
  content: { size: number; sha256: string } | undefined;
}

/** What a tree holds, as a file system shows it: a directory's links are its names and its subdirectories' `..`. */
export async function listTree(tree: FileTree): Promise<Listed[]> {
  const listed: Listed[] = [];
  const firstNames = new Map<number, string>();
  const directories = new Map<string, Listed>();
  for await (const entry of tree.entries()) {
    const { path, kind, mode, uid, gid, mtimeSeconds, mtimeNanoseconds, linkTarget } = entry;
    if (!firstNames.has(entry.inode)) firstNames.set(entry.inode, path);
    const device = kind === "char" || kind === "block" ? `${entry.deviceMajor}:${entry.deviceMinor}` : "";
    const content = kind === "file" ? { size: entry.size, sha256: sha256(await collect(tree.read(entry))) } : undefined;
    const links = kind === "directory" ? 2 : entry.links;
    const xattrs = hexXattrs(entry.xattrs);
    const firstName = firstNames.get(entry.inode) ?? path;
    const name = {
      path,
      kind,
      mode,
      uid,
      gid,
      mtimeSeconds,
      mtimeNanoseconds,
      links,
      firstName,
      linkTarget,
      device,
      xattrs,
      content,
    };
    listed.push(name);
    if (kind !== "directory") continue;
    directories.set(path, name);
    const parent = directories.get(path.slice(0, Math.max(path.lastIndexOf("/"), 0)));
    if (parent !== undefined && parent !== name) parent.links += 1;
  }
  return listed;
}

export function hexXattrs(xattrs: Iterable<readonly [string, Uint8Array]>): Record<string, string> {
  return Object.fromEntries([...xattrs].map(([name, value]) => [name, Buffer.from(value).toString("hex")]));
}
