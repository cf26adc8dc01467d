import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";

import type { NbdAddress } from "../src/index.js";

/** A client that says what it is told to, wrong or right. It shares no code with the server. */
export interface RawClient extends Disposable {
  readonly socket: Socket;
  send(...parts: Uint8Array[]): void;
  /** Exactly so many bytes; throws "ended" if there are fewer. */
  take(length: number): Promise<Buffer>;
  /** Resolves when the server has hung up, with what it had still sent. */
  end(): Promise<Buffer>;
}

export async function rawClient(address: NbdAddress): Promise<RawClient> {
  const socket = address.kind === "unix" ? connect(address.path) : connect(address.port, address.host);
  let chunks: Buffer[] = [];
  let wake = (): void => {};
  const state = { held: 0, isOver: false };
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    state.held += chunk.length;
    wake();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    state.isOver = true;
    wake();
  });
  await once(socket, "connect");
  return {
    socket,
    send: (...parts) => void socket.write(Buffer.concat(parts)),
    async take(length) {
      while (state.held < length) {
        if (state.isOver) throw new Error("ended");
        await new Promise<void>((resolve) => (wake = resolve));
      }
      const all = Buffer.concat(chunks);
      chunks = [all.subarray(length)];
      state.held -= length;
      return all.subarray(0, length);
    },
    async end() {
      while (!state.isOver) await new Promise<void>((resolve) => (wake = resolve));
      return Buffer.concat(chunks);
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** Takes the greeting and answers it. */
export async function greet(client: RawClient, flags = 3): Promise<Buffer> {
  const greeting = await client.take(18);
  client.send(u32(flags));
  return greeting;
}

export function option(type: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from("IHAVEOPT"), u32(type), u32(data.length), data]);
}

export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

/** All replies to an option, of which the last is an ACK or an error. */
export async function ask(client: RawClient, type: number, data?: Uint8Array): Promise<OptionReply[]> {
  client.send(option(type, data));
  const replies: OptionReply[] = [];
  do {
    const head = await client.take(20);
    if (head.readBigUInt64BE(0) !== 0x3e889045565a9n) throw new Error("not a reply");
    const reply = { option: head.readUInt32BE(8), type: head.readUInt32BE(12), data: Buffer.alloc(0) };
    replies.push({ ...reply, data: await client.take(head.readUInt32BE(16)) });
  } while (replies.at(-1)!.type !== 1 && replies.at(-1)!.type < 2 ** 31);
  return replies;
}

export function infoData(name: string, ...wanted: number[]): Buffer {
  return Buffer.concat([u32(Buffer.byteLength(name)), Buffer.from(name), u16(wanted.length), ...wanted.map(u16)]);
}

export function contextData(name: string, ...queries: string[]): Buffer {
  const strings = queries.map((query) => Buffer.concat([u32(query.length), Buffer.from(query)]));
  return Buffer.concat([u32(name.length), Buffer.from(name), u32(queries.length), ...strings]);
}

export interface GoOptions {
  name?: string;
  structured?: boolean;
  /** The name of the disk of which the holes are asked for. */
  contextOf?: string;
}

/** A client that is through the handshake. */
export async function readyClient(
  address: NbdAddress,
  { name = "", contextOf, structured = contextOf !== undefined }: GoOptions = {},
): Promise<RawClient> {
  const client = await rawClient(address);
  await greet(client);
  if (structured) await ask(client, 8);
  if (contextOf !== undefined) await ask(client, 10, contextData(contextOf, "base:allocation"));
  const replies = await ask(client, 7, infoData(name));
  if (replies.at(-1)?.type !== 1) throw new Error(`refused: ${replies.at(-1)?.data.toString()}`);
  return client;
}

export interface RequestFields {
  type?: number;
  flags?: number;
  cookie?: number;
  offset?: number | bigint;
  length?: number;
}

export function request({ type = 0, flags = 0, cookie = 7, offset = 0, length = 0 }: RequestFields): Buffer {
  return Buffer.concat([u32(0x25609513), u16(flags), u16(type), u64(cookie), u64(offset), u32(length)]);
}

export interface SimpleReply {
  readonly error: number;
  readonly cookie: number;
  readonly data: Buffer;
}

/** `lengthOf`: how much data comes for a cookie, if there is no error. */
export async function takeSimple(client: RawClient, lengthOf: (cookie: number) => number): Promise<SimpleReply> {
  const head = await client.take(16);
  if (head.readUInt32BE(0) !== 0x67446698) throw new Error("not a simple reply");
  const error = head.readUInt32BE(4);
  const cookie = Number(head.readBigUInt64BE(8));
  return { error, cookie, data: await client.take(error === 0 ? lengthOf(cookie) : 0) };
}

export interface Chunk {
  readonly type: number;
  readonly done: boolean;
  readonly cookie: number;
  readonly payload: Buffer;
}

export async function takeChunk(client: RawClient): Promise<Chunk> {
  const head = await client.take(20);
  if (head.readUInt32BE(0) !== 0x668e33ef) throw new Error("not a structured reply");
  const cookie = Number(head.readBigUInt64BE(8));
  const payload = await client.take(head.readUInt32BE(16));
  return { done: head.readUInt16BE(4) === 1, type: head.readUInt16BE(6), cookie, payload };
}

/** The chunks of the one reply that is on its way. */
export async function takeStructured(client: RawClient): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  do chunks.push(await takeChunk(client));
  while (!chunks.at(-1)!.done);
  return chunks;
}

/** What the chunks of a read say is there from `offset`, and which of it as holes. */
export function assemble(chunks: readonly Chunk[], offset: number, length: number): { data: Buffer; holes: number } {
  const data = Buffer.alloc(length, 0xee);
  let holes = 0;
  for (const { type, payload } of chunks) {
    if (type === 0) continue;
    const at = Number(payload.readBigUInt64BE(0)) - offset;
    if (type === 1) data.set(payload.subarray(8), at);
    else if (type === 2) {
      data.fill(0, at, at + payload.readUInt32BE(8));
      holes += payload.readUInt32BE(8);
    } else throw new Error(`chunk ${type}`);
  }
  return { data, holes };
}

/** The number and the text of an error chunk. */
export function errorOf({ type, payload }: Chunk): { error: number; text: string } {
  if (type !== 0x8001) throw new Error(`chunk ${type} is no error`);
  const text = payload.subarray(6, 6 + payload.readUInt16BE(4)).toString();
  return { error: payload.readUInt32BE(0), text };
}
