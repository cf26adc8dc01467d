import type { TreeIndex } from "../tree/tree-index.js";
import type { Protocol } from "./layout.js";
import type { Names } from "./names.js";
import type { Replies } from "./replies.js";
import type { Xattrs } from "./xattrs.js";

/** What the thread cannot answer, or has to tell. Nodes are those of the index, and from its end on those of state files. */
export type Call =
  | {
      readonly kind: "read";
      readonly unique: bigint;
      readonly node: number;
      readonly offset: number;
      readonly size: number;
      /** The thread that asks, as this process sees it; 0 where it does not. */
      readonly pid: number;
    }
  | { readonly kind: "state" | "attributes"; readonly unique: bigint; readonly node: number }
  | { readonly kind: "forget"; readonly node: number; readonly lookups: number }
  | { readonly kind: "interrupt"; readonly unique: bigint };

export interface ResponderOptions {
  /** A name in the root that is not listed, by which the state file is looked up. */
  readonly stateName?: string | undefined;
  /** Whose `trusted.*` xattrs are left out of lists: nobody but root of the machine may read them. */
  readonly hidesTrustedFrom: "others" | "all";
}

export interface ResponderParts {
  readonly replies: Replies;
  readonly names: Names;
  readonly xattrs: Xattrs;
  call(call: Call): void;
}

/**
 * Answers one request of so many bytes. Gives how many bytes of the replies' buffer are the answer; 0 where there is none, or it comes from elsewhere.
 * Never throws: what makes no sense is an error to who asked.
 */
export type Responder = (request: Buffer, length: number) => number;

/** Self-contained: its text is run in a thread of its own. */
export function createResponder(
  protocol: Protocol,
  index: TreeIndex,
  { stateName, hidesTrustedFrom }: ResponderOptions,
  { replies, names, xattrs, call }: ResponderParts,
): Responder {
  const { opcode, errno, type, typeMask, requestHead, replyHead } = protocol;
  const { buffer, fail, end } = replies;
  const stateFile = stateName === undefined ? undefined : Buffer.from(stateName);

  const isState = (node: number): boolean => stateFile !== undefined && node >= index.nodeCount;
  const typeOf = (node: number): number => (isState(node) ? type.file : index.modes[node]! & typeMask);

  function init(request: Buffer, length: number): number {
    if (length < requestHead + 16) return fail(errno.EPROTO);
    const major = request.readUInt32LE(requestHead);
    const minor = request.readUInt32LE(requestHead + 4);
    if (major < protocol.major || (major === protocol.major && minor < protocol.leastMinor)) return fail(errno.EPROTO);
    replies.clear(replyHead, protocol.initSize);
    buffer.writeUInt32LE(protocol.major, replyHead);
    buffer.writeUInt32LE(protocol.minor, replyHead + 4);
    // A later kernel asks again in the version that it is told.
    if (major > protocol.major) return end(protocol.initSize);
    const { posixAcl, ...flags } = protocol.flag;
    const wanted = Object.values(flags).reduce((all, flag) => all | flag, index.hasAcls ? posixAcl : 0);
    buffer.writeUInt32LE(Math.min(minor, protocol.minor), replyHead + 4);
    buffer.writeUInt32LE(request.readUInt32LE(requestHead + 8), replyHead + 8);
    buffer.writeUInt32LE((wanted & request.readUInt32LE(requestHead + 12)) >>> 0, replyHead + 12);
    buffer.writeUInt16LE(protocol.maxBackground, replyHead + 16);
    buffer.writeUInt16LE(protocol.congestionThreshold, replyHead + 18);
    buffer.writeUInt32LE(protocol.maxWrite, replyHead + 20);
    buffer.writeUInt32LE(1, replyHead + 24);
    buffer.writeUInt16LE(protocol.maxPages, replyHead + 28);
    return end(protocol.initSize);
  }

  function lookup(node: number, request: Buffer, length: number, unique: bigint): number {
    if (isState(node)) return fail(errno.ENOTDIR);
    const nameEnd = request.indexOf(0, requestHead);
    if (nameEnd !== length - 1 || nameEnd === requestHead) return fail(errno.EINVAL);
    const name = request.subarray(requestHead, nameEnd);
    let found = -1;
    // By a file handle the kernel asks for the node itself and for where it is.
    if (name.length === 1 && name[0] === 0x2e) found = node;
    else if (typeOf(node) !== type.directory) return fail(errno.ENOTDIR);
    else if (name.length === 2 && name[0] === 0x2e && name[1] === 0x2e) found = index.parents[node]!;
    else found = names.find(node, request, requestHead, nameEnd);
    if (found < 0 && node === 0 && stateFile?.equals(name) === true) {
      call({ kind: "state", unique, node: 0 });
      return 0;
    }
    if (found >= 0) replies.entry(found, replyHead);
    else {
      // Node 0 says for how long there is nothing by that name.
      replies.clear(replyHead, protocol.entrySize);
      replies.number(protocol.validSeconds, replyHead + 16);
    }
    return end(protocol.entrySize);
  }

  function forget(request: Buffer, length: number): number {
    const count = request.readUInt32LE(requestHead);
    for (let at = requestHead + 8, left = count; left > 0 && at + 16 <= length; at += 16, left--) {
      const node = Number(request.readBigUInt64LE(at)) - 1;
      if (isState(node)) call({ kind: "forget", node, lookups: Number(request.readBigUInt64LE(at + 8)) });
    }
    return 0;
  }

  function statfs(): number {
    replies.clear(replyHead, protocol.statfsSize);
    replies.number(Math.ceil(index.totalBytes / 4096), replyHead);
    replies.number(index.nodeCount, replyHead + 24);
    buffer.writeUInt32LE(4096, replyHead + 40);
    buffer.writeUInt32LE(255, replyHead + 44);
    buffer.writeUInt32LE(4096, replyHead + 48);
    return end(protocol.statfsSize);
  }

  function getattr(node: number, unique: bigint): number {
    if (isState(node)) {
      call({ kind: "attributes", unique, node });
      return 0;
    }
    replies.clear(replyHead, 16);
    replies.number(protocol.validSeconds, replyHead);
    replies.attributes(node, replyHead + 16);
    return end(16 + protocol.attrSize);
  }

  function readlink(node: number): number {
    if (typeOf(node) !== type.symlink) return fail(errno.EINVAL);
    const size = index.sizes[node]!;
    if (size > protocol.maxTarget) return fail(errno.ENAMETOOLONG);
    const at = index.targets[node]!;
    buffer.set(index.bytes.subarray(at, at + size), replyHead);
    return end(size);
  }

  function read(node: number, request: Buffer, unique: bigint): number {
    if (typeOf(node) === type.directory) return fail(errno.EISDIR);
    if (typeOf(node) !== type.file) return fail(errno.EINVAL);
    const offset = Number(request.readBigUInt64LE(requestHead + 8));
    const asked = Math.min(request.readUInt32LE(requestHead + 16), protocol.maxRead);
    const size = isState(node) ? asked : Math.min(asked, index.sizes[node]! - offset);
    if (size <= 0) return end(0);
    call({ kind: "read", unique, node, offset, size, pid: request.readUInt32LE(32) });
    return 0;
  }

  function list(node: number, request: Buffer, withEntries: boolean): number {
    if (typeOf(node) !== type.directory) return fail(errno.ENOTDIR);
    const offset = Number(request.readBigUInt64LE(requestHead + 8));
    return names.list(node, offset, request.readUInt32LE(requestHead + 16), withEntries);
  }

  /** The least arguments of a request, for what is read of them. */
  const least: Readonly<Record<number, number>> = {
    [opcode.forget]: 8,
    [opcode.batchForget]: 8,
    [opcode.interrupt]: 8,
    [opcode.read]: 20,
    [opcode.readdir]: 20,
    [opcode.readdirplus]: 20,
    [opcode.getxattr]: 8,
    [opcode.listxattr]: 8,
  };
  const silent: ReadonlySet<number> = new Set([opcode.forget, opcode.batchForget, opcode.interrupt]);

  function answer(code: number, node: number, request: Buffer, length: number, unique: bigint): number {
    switch (code) {
      case opcode.lookup:
        return lookup(node, request, length, unique);
      case opcode.getattr:
        return getattr(node, unique);
      case opcode.readlink:
        return readlink(node);
      case opcode.read:
        return read(node, request, unique);
      case opcode.readdir:
      case opcode.readdirplus:
        return list(node, request, code === opcode.readdirplus);
      case opcode.getxattr: {
        if (length < requestHead + 9 || request[length - 1] !== 0) return fail(errno.EINVAL);
        return xattrs.get(node, request.readUInt32LE(requestHead), request.subarray(requestHead + 8, length - 1));
      }
      case opcode.listxattr: {
        const hidesTrusted = hidesTrustedFrom === "all" || request.readUInt32LE(24) !== 0;
        return xattrs.list(node, request.readUInt32LE(requestHead), hidesTrusted);
      }
      default:
        // To OPEN, OPENDIR, FLUSH and the like this says that nobody need ask again.
        return fail(protocol.changes.includes(code) ? errno.EROFS : errno.ENOSYS);
    }
  }

  return (request, length) => {
    if (length < requestHead) return 0;
    const code = request.readUInt32LE(4);
    const unique = request.readBigUInt64LE(8);
    const node = Number(request.readBigUInt64LE(16)) - 1;
    replies.begin(unique);
    if (request.readUInt32LE(0) !== length || length < requestHead + (least[code] ?? 0))
      return silent.has(code) ? 0 : fail(errno.EIO);
    if (code === opcode.init) return init(request, length);
    if (code === opcode.destroy) return end(0);
    if (code === opcode.statfs) return statfs();
    if (code === opcode.batchForget) return forget(request, length);
    if (code === opcode.interrupt) {
      call({ kind: "interrupt", unique: request.readBigUInt64LE(requestHead) });
      return 0;
    }
    if (code === opcode.forget) {
      if (isState(node)) call({ kind: "forget", node, lookups: Number(request.readBigUInt64LE(requestHead)) });
      return 0;
    }
    if (node < 0 || (node >= index.nodeCount && !isState(node))) return fail(errno.ESTALE);
    return answer(code, node, request, length, unique);
  };
}
