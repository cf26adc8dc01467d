import type { TreeIndex } from "../tree/tree-index.js";
import type { Protocol } from "./layout.js";
import type { Replies } from "./replies.js";

/** Answers GETXATTR and LISTXATTR, each with the reply's length. A size of 0 asks how long the answer is. A node that is none of the index has no xattrs. */
export interface Xattrs {
  get(node: number, size: number, name: Buffer): number;
  list(node: number, size: number, hidesTrusted: boolean): number;
}

/** Self-contained: its text is run in a thread of its own. */
export function createXattrs(protocol: Protocol, index: TreeIndex, replies: Replies): Xattrs {
  const { replyHead, errno } = protocol;
  const { buffer } = replies;
  const bytes = Buffer.from(index.bytes.buffer);
  const trusted = Buffer.from("trusted.");

  function* each(node: number): Generator<{ name: Buffer; value: Buffer }> {
    let at = index.xattrs[node] ?? 0;
    if (at === 0) return;
    const count = bytes.readUInt32LE(at);
    at += 4;
    for (let number = 0; number < count; number++) {
      const nameEnd = at + 8 + bytes.readUInt32LE(at);
      const valueEnd = nameEnd + bytes.readUInt32LE(at + 4);
      yield { name: bytes.subarray(at + 8, nameEnd), value: bytes.subarray(nameEnd, valueEnd) };
      at = valueEnd;
    }
  }

  function sized(length: number): number {
    buffer.writeUInt32LE(length, replyHead);
    buffer.writeUInt32LE(0, replyHead + 4);
    return replies.end(8);
  }

  return {
    get(node, size, wanted) {
      for (const { name, value } of each(node)) {
        if (!name.equals(wanted)) continue;
        if (size === 0) return sized(value.length);
        if (value.length > size || value.length > buffer.length - replyHead) return replies.fail(errno.ERANGE);
        buffer.set(value, replyHead);
        return replies.end(value.length);
      }
      return replies.fail(errno.ENODATA);
    },
    list(node, size, hidesTrusted) {
      const names: Buffer[] = [];
      let length = 0;
      for (const { name } of each(node)) {
        if (hidesTrusted && name.subarray(0, trusted.length).equals(trusted)) continue;
        names.push(name);
        length += name.length + 1;
      }
      if (size === 0) return sized(length);
      if (length > size || length > buffer.length - replyHead) return replies.fail(errno.ERANGE);
      let at = replyHead;
      for (const name of names) {
        buffer.set(name, at);
        buffer[at + name.length] = 0;
        at += name.length + 1;
      }
      return replies.end(length);
    },
  };
}
