import type { Entry, FileTree } from "../src/file-tree.js";

/** A line an entry: path, kind, mode, and what a test most wants to see of it. */
export async function listing(tree: FileTree): Promise<string[]> {
  const lines: string[] = [];
  for (const entry of await entriesOf(tree)) {
    const target = entry.kind === "symlink" ? ` -> ${entry.linkTarget}` : "";
    const content = entry.kind === "file" ? ` "${await textOf(tree, entry)}"` : "";
    const links = entry.links > 1 ? ` x${entry.links}` : "";
    lines.push(
      `${entry.path === "" ? "/" : entry.path} ${entry.kind} ${entry.mode.toString(8)}${target}${content}${links}`,
    );
  }
  return lines;
}

/** The paths, the root left out. */
export async function paths(tree: FileTree): Promise<string[]> {
  return (await entriesOf(tree)).slice(1).map((entry) => entry.path);
}

export async function entriesOf(tree: FileTree): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of tree.entries()) entries.push(entry);
  return entries;
}

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const chunk of chunks) copies.push(Buffer.from(chunk));
  return Buffer.concat(copies);
}

export async function textOf(tree: FileTree, entry: Entry | undefined): Promise<string> {
  if (entry === undefined) throw new Error("no such entry");
  return (await bytesOf(tree.read(entry))).toString("latin1");
}
