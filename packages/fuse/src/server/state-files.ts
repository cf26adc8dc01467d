import { PROTOCOL } from "../protocol/layout.js";

/** What a state file says: anything that JSON can hold. */
export type StateFile = () => object | Promise<object>;

/**
 * The state file's contents, each a node of its own: who has it open reads what it said then, and the kernel may keep it. One is kept until the
 * kernel has forgotten it as often as it has looked it up.
 */
export interface StateFiles {
  /** The result of a LOOKUP of what it says now. */
  lookUp(): Promise<Uint8Array>;
  /** The result of a GETATTR; undefined for what is not known. */
  attributes(node: number): Uint8Array | undefined;
  /** Bytes of one; undefined for what is not known. */
  read(node: number, offset: number, size: number): Uint8Array | undefined;
  forget(node: number, lookups: number): void;
}

interface Content {
  readonly node: number;
  readonly text: string;
  readonly bytes: Buffer;
  readonly seconds: number;
  lookups: number;
}

const MODE = 0o100_400;

/** @param firstNode the first number that no node of the tree has */
export function createStateFiles(firstNode: number, stateFile: StateFile): StateFiles {
  const contents = new Map<number, Content>();
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  let nextNode = firstNode;
  let latest: Content | undefined;

  function writeAttributes({ node, bytes, seconds }: Content, result: Buffer, at: number): void {
    result.writeBigUInt64LE(BigInt(node + 1), at);
    result.writeBigUInt64LE(BigInt(bytes.length), at + 8);
    result.writeBigUInt64LE(BigInt(Math.ceil(bytes.length / 512)), at + 16);
    for (const time of [24, 32, 40]) result.writeBigInt64LE(BigInt(seconds), at + time);
    result.writeUInt32LE(MODE, at + 60);
    result.writeUInt32LE(1, at + 64);
    result.writeUInt32LE(owner.uid, at + 68);
    result.writeUInt32LE(owner.gid, at + 72);
    result.writeUInt32LE(4096, at + 80);
  }

  return {
    async lookUp() {
      const text = `${JSON.stringify(await stateFile())}\n`;
      if (latest?.text !== text || !contents.has(latest.node)) {
        latest = {
          node: nextNode++,
          text,
          bytes: Buffer.from(text),
          seconds: Math.floor(Date.now() / 1000),
          lookups: 0,
        };
        contents.set(latest.node, latest);
      }
      latest.lookups += 1;
      const result = Buffer.alloc(PROTOCOL.entrySize);
      result.writeBigUInt64LE(BigInt(latest.node + 1), 0);
      // The name is looked up each time, what it leads to does not change.
      result.writeBigUInt64LE(BigInt(PROTOCOL.validSeconds), 24);
      writeAttributes(latest, result, PROTOCOL.entrySize - PROTOCOL.attrSize);
      return result;
    },
    attributes(node) {
      const content = contents.get(node);
      if (content === undefined) return undefined;
      const result = Buffer.alloc(16 + PROTOCOL.attrSize);
      result.writeBigUInt64LE(BigInt(PROTOCOL.validSeconds), 0);
      writeAttributes(content, result, 16);
      return result;
    },
    read: (node, offset, size) => contents.get(node)?.bytes.subarray(offset, offset + size),
    forget(node, lookups) {
      const content = contents.get(node);
      if (content === undefined) return;
      content.lookups -= lookups;
      if (content.lookups <= 0) contents.delete(node);
    },
  };
}
