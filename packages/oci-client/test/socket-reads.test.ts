import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
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

async function receive(onread: ReturnType<typeof readIntoSlabs>, isSlow = false): Promise<Buffer[]> {
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
    const onread = readIntoSlabs();
    const received = await Promise.all([
      receive(onread),
      receive(onread, true),
      receive(onread),
      receive(onread, true),
    ]);
    for (const chunks of received) expect(Buffer.concat(chunks).equals(CONTENT)).toBe(true);
  });

  it("fills a slab with many reads", async () => {
    const chunks = await receive(readIntoSlabs());
    const slabs = new Set(chunks.map(({ buffer }) => buffer));
    expect(slabs.size).toBeLessThanOrEqual(Math.ceil(CONTENT.length / (1024 * 1024 - 64 * 1024)) + 1);
  });
});
