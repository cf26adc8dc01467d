import { open, rename } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

import type { FileKind, FileTree } from "@lamella/layer-format";
import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { CheckoutScan, NameState } from "./checkout-scan.js";

/** What an inode of a checkout was when it had been filled. */
export interface RecordedInode extends NameState {
  /** A name of it, in the checkout and in what the snapshot showed. */
  readonly path: string;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** By identity. */
export type CheckoutRecord = ReadonlyMap<string, RecordedInode>;

/** A line of the file; the last one has only the count of those before, so that nothing is missing. */
type Line = [
  path: string,
  identity: string,
  kind: FileKind,
  mode: number,
  uid: number,
  gid: number,
  size: string,
  mtimeNs: string,
  ctimeNs: string,
  xattrs?: Record<string, string>,
];

const CHUNK_CHARACTERS = 1 << 18;

/** Writes what was found, with the xattrs that a tree of the same directory has. */
export async function writeRecord(
  file: string,
  { scan, tree }: { scan: CheckoutScan; tree: FileTree },
  { signal }: CallOptions,
): Promise<void> {
  const temporary = `${file}.new`;
  const handle = await open(temporary, "w");
  try {
    let text = "";
    let count = 0;
    for await (const { path, xattrs } of tree.entries({ signal })) {
      const state = scan.get(path);
      if (state === undefined) throw changedMeanwhile(path);
      text += `${JSON.stringify(encodeLine(path, state, xattrs))}\n`;
      count++;
      if (text.length < CHUNK_CHARACTERS) continue;
      await handle.writeFile(text);
      text = "";
    }
    await handle.writeFile(`${text}${count}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}

/** @throws {SnapshotError} `snapshot_invalid` */
export async function readRecord(file: string, { signal }: CallOptions): Promise<CheckoutRecord> {
  const record = new Map<string, RecordedInode>();
  let count = 0;
  let expected: unknown;
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    signal?.throwIfAborted();
    const line = JSON.parse(text) as Line | number;
    if (!Array.isArray(line)) {
      expected = line;
      continue;
    }
    count++;
    const inode = decodeLine(line);
    if (!record.has(inode.identity)) record.set(inode.identity, inode);
  }
  if (expected === count) return record;
  throw new SnapshotError("snapshot_invalid", `cannot read ${quote(file)}: it is not whole`);
}

function encodeLine(path: string, state: NameState, xattrs: ReadonlyMap<string, Uint8Array>): Line {
  const { identity, kind, mode, uid, gid, size, mtimeNs, ctimeNs } = state;
  const line: Line = [path, identity, kind, mode, uid, gid, `${size}`, `${mtimeNs}`, `${ctimeNs}`];
  if (xattrs.size > 0) {
    line.push(Object.fromEntries([...xattrs].map(([name, value]) => [name, Buffer.from(value).toString("base64")])));
  }
  return line;
}

function decodeLine(line: Line): RecordedInode {
  const [path, identity, kind, mode, uid, gid, size, mtimeNs, ctimeNs, encoded = {}] = line;
  const xattrs = new Map(Object.entries(encoded).map(([name, value]) => [name, Buffer.from(value, "base64")]));
  return {
    path,
    identity,
    kind,
    mode,
    uid,
    gid,
    size: BigInt(size),
    mtimeNs: BigInt(mtimeNs),
    ctimeNs: BigInt(ctimeNs),
    xattrs,
  };
}

function changedMeanwhile(path: string): SnapshotError {
  return new SnapshotError(
    "mount_failed",
    `cannot check out ${quote(path)}: it came while the directory was being filled`,
  );
}
