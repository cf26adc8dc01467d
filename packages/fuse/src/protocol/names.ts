import type { TreeIndex } from "../tree/tree-index.js";
import type { Protocol } from "./layout.js";
import type { Replies } from "./replies.js";

/** Answers what is asked of a directory. */
export interface Names {
  /** The node that a directory has by the name in `bytes` from `start` to `end`; -1 for none. */
  find(directory: number, bytes: Buffer, start: number, end: number): number;
  /** Writes as many entries as fit into `size` bytes, from the one of `offset` on; gives the reply's length. */
  list(directory: number, offset: number, size: number, withEntries: boolean): number;
}

/** Self-contained: its text is run in a thread of its own. */
export function createNames(protocol: Protocol, index: TreeIndex, replies: Replies): Names {
  const { replyHead, direntHead, entrySize } = protocol;
  const { firstChildren, children, nameNodes, nameStarts, nameLengths, parents, modes } = index;
  const { buffer } = replies;
  const dot = Buffer.from("..");

  function find(directory: number, bytes: Buffer, start: number, end: number): number {
    let low = firstChildren[directory]!;
    let high = firstChildren[directory + 1]! - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const name = children[middle]!;
      const at = nameStarts[name]!;
      const order = bytes.compare(index.bytes, at, at + nameLengths[name]!, start, end);
      if (order === 0) return nameNodes[name]!;
      if (order < 0) high = middle - 1;
      else low = middle + 1;
    }
    return -1;
  }

  function list(directory: number, offset: number, size: number, withEntries: boolean): number {
    const first = firstChildren[directory]!;
    const count = firstChildren[directory + 1]! - first + 2;
    const end = replyHead + Math.min(size, buffer.length - replyHead);
    let at = replyHead;
    for (let position = offset; position < count; position++) {
      const name = position < 2 ? -1 : children[first + position - 2]!;
      const node = position === 0 ? directory : position === 1 ? parents[directory]! : nameNodes[name]!;
      const length = name < 0 ? position + 1 : nameLengths[name]!;
      const direntSize = (direntHead + length + 7) & ~7;
      if (at + direntSize + (withEntries ? entrySize : 0) > end) break;
      if (withEntries) {
        // The kernel takes no notice of what `.` and `..` are, but a node would be counted as looked up.
        if (name < 0) replies.clear(at, entrySize);
        else replies.entry(node, at);
        at += entrySize;
      }
      replies.number(node + 1, at);
      replies.number(position + 1, at + 8);
      buffer.writeUInt32LE(length, at + 16);
      buffer.writeUInt32LE(modes[node]! >>> 12, at + 20);
      const start = name < 0 ? 0 : nameStarts[name]!;
      buffer.set((name < 0 ? dot : index.bytes).subarray(start, start + length), at + direntHead);
      buffer.fill(0, at + direntHead + length, at + direntSize);
      at += direntSize;
    }
    return replies.end(at - replyHead);
  }

  return { find, list };
}
