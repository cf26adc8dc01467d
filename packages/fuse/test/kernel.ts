import type { FileTree } from "@lamella/layer-format";

import { PROTOCOL } from "../src/protocol/layout.js";
import { createNames } from "../src/protocol/names.js";
import { createReplies } from "../src/protocol/replies.js";
import { type Call, createResponder, type ResponderOptions } from "../src/protocol/responder.js";
import { createXattrs } from "../src/protocol/xattrs.js";
import { buildIndex } from "../src/tree/build-index.js";

const { opcode, requestHead, replyHead } = PROTOCOL;
type Opcode = keyof typeof opcode;

export interface Request {
  readonly opcode: Opcode | number;
  /** As the kernel numbers it: the root is 1. */
  readonly node?: number | bigint;
  readonly body?: Buffer;
  readonly uid?: number;
  readonly unique?: bigint;
}

export interface Reply {
  readonly errno: number;
  readonly unique: bigint;
  readonly result: Buffer;
}

interface Attributes {
  readonly ino: number;
  readonly size: number;
  readonly blocks: number;
  readonly seconds: bigint;
  readonly nanoseconds: number;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

/** Asks a responder as the kernel does, with no kernel. */
export interface Kernel {
  readonly calls: Call[];
  /** Undefined where the request has no answer, or one that comes from elsewhere. */
  ask(request: Request): Reply | undefined;
  askBytes(bytes: Buffer): Reply | undefined;
  /** The node of a path, with its attributes; undefined where there is none. */
  find(path: string): { node: number; attributes: Attributes } | undefined;
}

export async function createKernel(tree: FileTree, options: Partial<ResponderOptions> = {}): Promise<Kernel> {
  const index = await buildIndex(tree);
  const replies = createReplies(PROTOCOL, index);
  const names = createNames(PROTOCOL, index, replies);
  const xattrs = createXattrs(PROTOCOL, index, replies);
  const calls: Call[] = [];
  const parts = { replies, names, xattrs, call: (call: Call) => void calls.push(call) };
  const respond = createResponder(PROTOCOL, index, { hidesTrustedFrom: "others", ...options }, parts);

  function askBytes(bytes: Buffer): Reply | undefined {
    const length = respond(bytes, bytes.length);
    return length === 0 ? undefined : parseReply(Buffer.from(replies.buffer.subarray(0, length)));
  }
  function ask(request: Request): Reply | undefined {
    return askBytes(encodeRequest(request));
  }
  return {
    calls,
    ask,
    askBytes,
    find(path) {
      let node = 1;
      for (const name of path === "" ? [] : path.split("/")) {
        const reply = ask({ opcode: "lookup", node, body: cString(name) });
        if (reply === undefined || reply.errno !== 0) return undefined;
        node = Number(reply.result.readBigUInt64LE(0));
        if (node === 0) return undefined;
      }
      const reply = ask({ opcode: "getattr", node, body: Buffer.alloc(16) });
      return reply && { node, attributes: parseAttributes(reply.result.subarray(16)) };
    },
  };
}

export function encodeRequest({
  opcode: code,
  node = 1,
  body = Buffer.alloc(0),
  uid = 0,
  unique = 2n,
}: Request): Buffer {
  const head = Buffer.alloc(requestHead);
  head.writeUInt32LE(requestHead + body.length, 0);
  head.writeUInt32LE(typeof code === "number" ? code : opcode[code], 4);
  head.writeBigUInt64LE(unique, 8);
  head.writeBigUInt64LE(BigInt(node), 16);
  head.writeUInt32LE(uid, 24);
  head.writeUInt32LE(4711, 32);
  return Buffer.concat([head, body]);
}

export function parseReply(bytes: Buffer): Reply {
  if (bytes.length < replyHead || bytes.readUInt32LE(0) !== bytes.length)
    throw new Error("the reply's length is wrong");
  return {
    errno: Math.abs(bytes.readInt32LE(4)),
    unique: bytes.readBigUInt64LE(8),
    result: bytes.subarray(replyHead),
  };
}

function parseAttributes(bytes: Buffer): Attributes {
  return {
    ino: Number(bytes.readBigUInt64LE(0)),
    size: Number(bytes.readBigUInt64LE(8)),
    blocks: Number(bytes.readBigUInt64LE(16)),
    seconds: bytes.readBigInt64LE(32),
    nanoseconds: bytes.readUInt32LE(52),
    mode: bytes.readUInt32LE(60),
    links: bytes.readUInt32LE(64),
    uid: bytes.readUInt32LE(68),
    gid: bytes.readUInt32LE(72),
    rdev: bytes.readUInt32LE(76),
  };
}

export interface Dirent {
  readonly name: string;
  readonly ino: number;
  readonly next: bigint;
  readonly type: number;
  /** Of READDIRPLUS. */
  readonly node: number | undefined;
}

export function parseDirents(bytes: Buffer, withEntries: boolean): Dirent[] {
  const dirents: Dirent[] = [];
  for (let at = 0; at < bytes.length;) {
    const node = withEntries ? Number(bytes.readBigUInt64LE(at)) : undefined;
    if (withEntries) at += PROTOCOL.entrySize;
    const length = bytes.readUInt32LE(at + 16);
    dirents.push({
      name: bytes.toString("latin1", at + 24, at + 24 + length),
      ino: Number(bytes.readBigUInt64LE(at)),
      next: bytes.readBigUInt64LE(at + 8),
      type: bytes.readUInt32LE(at + 20),
      node,
    });
    at += (24 + length + 7) & ~7;
  }
  return dirents;
}

/** Arguments of READ, READDIR and READDIRPLUS. */
export function range(offset: number | bigint, size: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(size, 16);
  return body;
}

export function cString(name: string): Buffer {
  return Buffer.from(`${name}\0`, "latin1");
}

/** Arguments of GETXATTR, and without a name of LISTXATTR. */
export function xattr(size: number, name?: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(size, 0);
  return name === undefined ? head : Buffer.concat([head, cString(name)]);
}

export function init(major: number, minor: number, flags = 0xffffffff): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(major, 0);
  body.writeUInt32LE(minor, 4);
  body.writeUInt32LE(131_072, 8);
  body.writeUInt32LE(flags, 12);
  return body;
}
