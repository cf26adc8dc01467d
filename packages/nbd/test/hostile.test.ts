import { setTimeout as sleep } from "node:timers/promises";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { NbdServer } from "../src/index.js";
import { greet, option, rawClient, readyClient, request, takeSimple, u32 } from "./raw-client.js";
import type { RawClient } from "./raw-client.js";
import { serving } from "./serving.js";
import type { ServingOptions } from "./serving.js";
import { hangingSource, patternSource } from "./sources.js";

const MIB = 1 << 20;
const source = patternSource(4 * MIB);

/** Another client is served as if nothing were. */
async function isServing(server: NbdServer): Promise<void> {
  using client = await readyClient(server.address);
  client.send(request({ offset: 1000, length: 5000 }));
  expect((await takeSimple(client, () => 5000)).data).toEqual(source.whole.subarray(1000, 6000));
}

/** Asks until it is so; a few seconds at most. */
async function eventually(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 300 && !isSo(); tries++) await sleep(10);
  expect(isSo()).toBe(true);
}

describe("a client that breaks the protocol is cut off, and others are served", () => {
  const handshakes: [string, number, Uint8Array, RegExp][] = [
    ["flags that nobody knows", 0xffff_fff0, Buffer.alloc(0), /the flags 0xfffffff0/],
    ["HTTP instead of an option", 3, Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), /option begins with/],
    ["a wrong magic", 3, option(7).fill(0, 0, 8), /option begins with 0x0/],
    ["a name of 4 GiB", 3, option(1).fill(0xff, 12), /name of 4294967295 bytes/],
    ["a name that is not there", 3, option(1, Buffer.from("\u001b[2J")), /"\\u001b\[2J": no such disk/],
  ];

  it.each(handshakes)("%s in the handshake", async (_, flags, bytes, message) => {
    const dropped: unknown[] = [];
    await serving(source, { onDrop: (error) => dropped.push(error) }, async (server) => {
      using client = await rawClient(server.address);
      await greet(client, flags);
      client.send(bytes);
      expect(await client.end()).toHaveLength(0);
      await isServing(server);
      expect(dropped).toEqual([
        expect.objectContaining({ code: "client_invalid", message: expect.stringMatching(message) as string }),
      ]);
      expect(server.stats()).toMatchObject({ clients: 2, droppedClients: 1 });
    });
  });

  it.each([
    ["a wrong magic", request({ length: 1 }).fill(0, 0, 4)],
    ["writing 4 GiB", request({ type: 1, length: 0xffff_ffff })],
  ])("%s in a request", (_, bytes) =>
    serving(source, {}, async (server) => {
      using client = await readyClient(server.address);
      client.send(bytes);
      await client.end();
      await isServing(server);
      expect(server.stats().droppedClients).toBe(1);
    }),
  );

  it("any bytes at all", () =>
    serving(source, { limits: { handshakeMs: 500 } }, async (server) => {
      const inHandshake = fc.boolean();
      await fc.assert(
        fc.asyncProperty(inHandshake, fc.uint8Array({ minLength: 30, maxLength: 500 }), async (early, bytes) => {
          using client = early ? await rawClient(server.address) : await readyClient(server.address);
          client.send(bytes);
          await client.end();
        }),
        { numRuns: 40 },
      );
      await isServing(server);
    }));
});

describe("a client that takes its time", () => {
  it.each([
    ["says nothing", async () => {}],
    ["sends a part of an option", async (client: RawClient) => client.send(u32(3), option(7).subarray(0, 9))],
    ["announces data that does not come", async (client: RawClient) => client.send(u32(3), option(99).fill(0xff, 12))],
  ])("and %s is cut off when its time for the handshake is over", async (_, act) => {
    const dropped: unknown[] = [];
    const options: ServingOptions = { limits: { handshakeMs: 60 }, onDrop: (error) => dropped.push(error) };
    await serving(source, options, async (server) => {
      using client = await rawClient(server.address);
      await act(client);
      expect((await client.end()).subarray(0, 18)).toHaveLength(18);
      expect(dropped).toEqual([expect.objectContaining({ code: "client_stalled" })]);
      await isServing(server);
    });
  });

  it("is served: the time for the handshake does not count afterwards, and a request may come in pieces", () =>
    serving(source, { limits: { handshakeMs: 100 } }, async (server) => {
      using client = await readyClient(server.address);
      const bytes = request({ length: 10 });
      client.send(bytes.subarray(0, 11));
      await sleep(200);
      client.send(bytes.subarray(11));
      expect((await takeSimple(client, () => 10)).data).toEqual(source.whole.subarray(0, 10));
    }));
});

describe("a client that does not take its replies", () => {
  it("holds up no more than its own bytes, is cut off, and others are served", async () => {
    const dropped: unknown[] = [];
    const limits = { stallMs: 300, maxBytes: 2 * MIB, maxRequests: 8 };
    await serving(source, { limits, onDrop: (error) => dropped.push(error) }, async (server) => {
      using client = await readyClient(server.address);
      client.socket.pause();
      const before = source.reads.length;
      client.send(...Array.from({ length: 500 }, () => request({ length: MIB })));
      await eventually(() => source.reads.length > before);
      await isServing(server);
      await eventually(() => dropped.length === 1);
      expect(dropped).toEqual([expect.objectContaining({ code: "client_stalled" })]);
      // two in memory, and what the sockets hold
      expect(source.reads.length - before).toBeLessThan(10);
      await isServing(server);
    });
  });

  it("is not read from while its requests are in flight", () =>
    serving(hangingSource(MIB), { limits: { maxRequests: 4 } }, async (server) => {
      using client = await readyClient(server.address);
      const flood = Buffer.concat(Array.from({ length: 40_000 }, () => request({ length: 10 })));
      client.send(flood);
      await eventually(() => server.stats().requests === 5);
      await sleep(50);
      expect(server.stats().requests).toBe(5);
      expect(client.socket.writableLength).toBeGreaterThan(0);
      await server.close({ graceMs: 0 });
    }));
});

describe("a client that goes", () => {
  it("ends its reads, whether it said so or not", async () => {
    const hanging = hangingSource(4096);
    await serving(hanging, {}, async (server) => {
      const client = await readyClient(server.address);
      client.send(request({ length: 10 }));
      await eventually(() => hanging.signals.length === 1);
      client.socket.destroy();
      await eventually(() => hanging.signals[0]!.aborted);
      await eventually(() => server.connections === 0);
      expect(server.stats()).toMatchObject({ droppedClients: 0, failedRequests: 0 });
    });
  });

  it("and only says that it will send no more has gone too", async () => {
    const hanging = hangingSource(4096);
    await serving(hanging, {}, async (server) => {
      using client = await readyClient(server.address);
      client.send(request({ length: 10 }));
      client.socket.end();
      expect(await client.end()).toHaveLength(0);
      await eventually(() => hanging.signals.every(({ aborted }) => aborted));
    });
  });

  it("by NBD_CMD_DISC gets what it had asked for before", () =>
    serving(source, {}, async (server) => {
      using client = await readyClient(server.address);
      client.send(request({ length: MIB, cookie: 1 }), request({ length: 10, cookie: 2 }), request({ type: 2 }));
      const replies = [await takeSimple(client, (cookie) => (cookie === 1 ? MIB : 10))];
      replies.push(await takeSimple(client, (cookie) => (cookie === 1 ? MIB : 10)));
      expect(replies.map(({ error }) => error)).toEqual([0, 0]);
      expect(await client.end()).toHaveLength(0);
      await eventually(() => server.connections === 0);
    }));
});

describe("too many clients", () => {
  it("are turned away, until one has gone", () =>
    serving(source, { limits: { maxConnections: 2 } }, async (server) => {
      const first = await readyClient(server.address);
      using second = await readyClient(server.address);
      using third = await rawClient(server.address);
      expect(await third.end()).toHaveLength(0);
      expect(server.stats()).toMatchObject({ clients: 2, refusedClients: 1 });
      first.socket.destroy();
      await eventually(() => server.connections === 1);
      await isServing(server);
      second.send(request({ length: 1 }));
      expect((await takeSimple(second, () => 1)).error).toBe(0);
    }));
});
