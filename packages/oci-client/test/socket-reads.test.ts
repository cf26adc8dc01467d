import { once } from "node:events";
import { type AddressInfo, connect, createServer, type OnReadOpts, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readIntoSlabs } from "../src/socket-reads.js";
import { pseudoRandom } from "./registry-server.js";

const CONTENT = Buffer.from(pseudoRandom(5_000_000));

let server: Server;

beforeEach(async () => {
  server = createServer((socket) => {
    socket.on("error", () => {});
    // in pieces of all sizes
    for (let at = 0, size = 1; at < CONTENT.length; at += size, size = (size * 3) % 200_003) {
      socket.write(CONTENT.subarray(at, at + size));
    }
    socket.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(() => server.close());

async function receive(onread: OnReadOpts, isSlow = false): Promise<Buffer[]> {
  const { port } = server.address() as AddressInfo;
  const chunks: Buffer[] = [];
  for await (const chunk of connect({ host: "127.0.0.1", port, onread })) {
    chunks.push(chunk as Buffer);
    if (isSlow && chunks.length % 4 === 0) await sleep(1);
  }
  return chunks;
}

describe("readIntoSlabs()", () => {
  it("keeps apart what several sockets receive at once, for as long as the chunks are kept", async () => {
    const onread = readIntoSlabs().onread;
    const received = await Promise.all([
      receive(onread),
      receive(onread, true),
      receive(onread),
      receive(onread, true),
    ]);
    for (const chunks of received) expect(Buffer.concat(chunks).equals(CONTENT)).toBe(true);
  });

  it("fills a slab with many reads", async () => {
    const chunks = await receive(readIntoSlabs().onread);
    const slabs = new Set(chunks.map(({ buffer }) => buffer));
    expect(slabs.size).toBeLessThanOrEqual(Math.ceil(CONTENT.length / (1024 * 1024 - 64 * 1024)) + 1);
  });

  it("reads again into memory of which every byte was given back, and into no other", async () => {
    const { onread, release } = readIntoSlabs();
    const { port } = server.address() as AddressInfo;
    const kept = await receive(onread);
    const slabs = new Set<ArrayBufferLike>();
    const content = Buffer.alloc(CONTENT.length);
    let at = 0;
    for await (const chunk of connect({ host: "127.0.0.1", port, onread }) as AsyncIterable<Buffer>) {
      slabs.add(chunk.buffer);
      at += chunk.copy(content, at);
      release(chunk);
    }
    expect(content.equals(CONTENT)).toBe(true);
    expect(slabs.size).toBeLessThanOrEqual(2);
    expect(kept.some(({ buffer }) => slabs.has(buffer))).toBe(false);
    expect(Buffer.concat(kept).equals(CONTENT)).toBe(true);
  });

  it("gives memory to one socket at a time, however often nothing is given back", async () => {
    const { onread, release } = readIntoSlabs();
    const { port } = server.address() as AddressInfo;
    for await (const chunk of connect({ host: "127.0.0.1", port, onread }) as AsyncIterable<Buffer>) {
      release(chunk);
      release(chunk.subarray(0, 0));
    }
    const received = await Promise.all([receive(onread), receive(onread, true), receive(onread)]);
    for (const chunks of received) expect(Buffer.concat(chunks).equals(CONTENT)).toBe(true);
  });
});
