import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { NbdError } from "../src/index.js";
import type { BlockSource } from "../src/index.js";
import { assemble, errorOf, readyClient, request, takeChunk, takeSimple, takeStructured } from "./raw-client.js";
import type { Chunk, GoOptions, RawClient, RequestFields } from "./raw-client.js";
import { serving } from "./serving.js";
import type { ServingOptions } from "./serving.js";
import { hangingSource, patternSource } from "./sources.js";

const EPERM = 1;
const EIO = 5;
const EINVAL = 22;
const EOVERFLOW = 75;

const MIB = 1 << 20;
const sparse = patternSource(3 * MIB, {
  segments: [
    { offset: 100, length: 5000 },
    { offset: MIB, length: MIB + MIB / 2 },
    { offset: 3 * MIB - 10, length: 10 },
  ],
});

async function connected(
  source: BlockSource,
  options: GoOptions & ServingOptions,
  use: (client: RawClient) => Promise<void>,
): Promise<void> {
  await serving(source, options, async (server) => {
    using client = await readyClient(server.address, options);
    await use(client);
  });
}

async function readStructured(client: RawClient, fields: RequestFields): Promise<Chunk[]> {
  client.send(request(fields));
  return takeStructured(client);
}

describe("reads", () => {
  it("simple: any range is the source's", () =>
    connected(sparse, {}, async (client) => {
      await fc.assert(
        fc.asyncProperty(fc.nat(sparse.sizeBytes), fc.nat(200_000), async (offset, wanted) => {
          const length = Math.min(wanted, sparse.sizeBytes - offset);
          client.send(request({ offset, length, cookie: 99 }));
          const reply = await takeSimple(client, () => length);
          expect(reply).toMatchObject({ error: 0, cookie: 99 });
          expect(Buffer.compare(reply.data, sparse.whole.subarray(offset, offset + length))).toBe(0);
        }),
        { numRuns: 50 },
      );
    }));

  it("structured: any range is the source's, and holes of whole blocks come as such", () =>
    connected(sparse, { structured: true }, async (client) => {
      await fc.assert(
        fc.asyncProperty(fc.nat(sparse.sizeBytes - 1), fc.integer({ min: 1, max: 3 * MIB }), async (offset, wanted) => {
          const length = Math.min(wanted, sparse.sizeBytes - offset);
          const chunks = await readStructured(client, { offset, length });
          const { data, holes } = assemble(chunks, offset, length);
          expect(Buffer.compare(data, sparse.whole.subarray(offset, offset + length))).toBe(0);
          const end = offset + length;
          const between = (from: number, to: number) => Math.max(0, Math.min(end, to) - Math.max(offset, from));
          expect(holes).toBe(between(8192, MIB) + between(MIB + 1.5 * MIB, 3 * MIB - 4096));
        }),
        { numRuns: 50 },
      );
    }));

  it("does not read holes from the source", async () => {
    const source = patternSource(MIB, { segments: [{ offset: 0, length: 4096 }] });
    await connected(source, {}, async (client) => {
      client.send(request({ offset: 0, length: MIB }));
      expect(Buffer.compare((await takeSimple(client, () => MIB)).data, source.whole)).toBe(0);
      expect(source.reads).toEqual([{ offset: 0, length: 4096 }]);
    });
  });

  it("not fragmented, as one chunk with its zeros; a hole alone as a hole", () =>
    connected(sparse, { structured: true }, async (client) => {
      const [chunk, ...others] = await readStructured(client, { flags: 4, offset: 0, length: 2 * MIB });
      expect(others).toEqual([]);
      expect(chunk!.type).toBe(1);
      expect(Buffer.compare(chunk!.payload.subarray(8), sparse.whole.subarray(0, 2 * MIB))).toBe(0);
      const hole = await readStructured(client, { flags: 4, offset: 10_000, length: 1000 });
      expect(hole.map(({ type }) => type)).toEqual([2]);
    }));

  it("of nothing are answered by nothing", async () => {
    await connected(sparse, { structured: true }, async (client) => {
      for (const flags of [0, 4])
        expect(await readStructured(client, { flags })).toMatchObject([{ type: 0, done: true }]);
    });
    await connected(sparse, {}, async (client) => {
      client.send(request({}));
      expect(await takeSimple(client, () => 0)).toMatchObject({ error: 0, cookie: 7 });
    });
  });

  it("of 32 MiB at once; of one byte more are refused", async () => {
    const most = 32 * MIB;
    const source = patternSource(most + 1, { segments: [{ offset: most - 5000, length: 5000 }], chunkBytes: MIB });
    await connected(source, {}, async (client) => {
      client.send(request({ length: most }), request({ length: most + 1, cookie: 8 }));
      const replies = [await takeSimple(client, () => most), await takeSimple(client, () => most)];
      const of = new Map(replies.map((reply) => [reply.cookie, reply]));
      expect([of.get(7)?.error, of.get(8)?.error]).toEqual([0, EINVAL]);
      expect(Buffer.compare(of.get(7)!.data, source.whole.subarray(0, most))).toBe(0);
    });
  });

  it("1,000 at random places over four connections equal the source", () =>
    serving(sparse, {}, async (server) => {
      const clients = await Promise.all([1, 2, 3, 4].map(() => readyClient(server.address)));
      expect(server.connections).toBe(4);
      let seed = 1;
      const random = (limit: number): number => (seed = (seed * 48_271) % 2_147_483_647) % limit;
      const ranges = Array.from({ length: 1000 }, () => ({ offset: random(3 * MIB - 70_000), length: random(70_000) }));
      await Promise.all(
        clients.map(async (client, lane) => {
          const own = ranges.map((range, cookie) => ({ ...range, cookie })).filter((_, index) => index % 4 === lane);
          client.send(...own.map(request));
          for (let left = own.length; left > 0; left--) {
            const { cookie, data } = await takeSimple(client, (cookie) => ranges[cookie]!.length);
            const { offset, length } = ranges[cookie]!;
            expect(Buffer.compare(data, sparse.whole.subarray(offset, offset + length))).toBe(0);
          }
          client.socket.destroy();
        }),
      );
      expect(server.stats()).toMatchObject({ clients: 4, requests: 1000, failedRequests: 0, droppedClients: 0 });
    }));

  it("are answered when they are done, not in turn", async () => {
    let release = (): void => {};
    const source: BlockSource = {
      sizeBytes: 8192,
      async *read(offset, length) {
        if (offset === 0) await new Promise<void>((resolve) => (release = resolve));
        yield Buffer.alloc(length, offset === 0 ? 1 : 2);
      },
    };
    await connected(source, {}, async (client) => {
      client.send(request({ cookie: 1, length: 10 }), request({ cookie: 2, offset: 4096, length: 10 }));
      expect((await takeSimple(client, () => 10)).cookie).toBe(2);
      release();
      expect((await takeSimple(client, () => 10)).cookie).toBe(1);
    });
  });
});

describe("a source that fails", () => {
  const broken: BlockSource = {
    sizeBytes: 100_000,
    async *read(offset, length) {
      if (offset >= 50_000) throw new Error("the registry is gone");
      yield Buffer.alloc(offset < 20_000 ? length : length - 1, 1);
      if (offset < 10_000) yield Buffer.alloc(1);
    },
  };

  it.each([
    [60_000, "the registry is gone"],
    [30_000, "cannot read 100 bytes at 30000: the disk gave 99"],
    [0, "cannot read 100 bytes at 0: the disk gave 101"],
  ])("at %i is an input/output error for that request alone, with its reason", async (offset, text) => {
    const errors: unknown[] = [];
    const onReadError = (error: unknown): void => void errors.push(error);
    await connected(broken, { structured: true, onReadError }, async (client) => {
      const chunks = await readStructured(client, { offset, length: 100 });
      expect(errorOf(chunks.at(-1)!)).toEqual({ error: EIO, text });
      expect(chunks).toHaveLength(1);
      expect((await readStructured(client, { offset: 15_000, length: 100 }))[0]!.type).toBe(1);
    });
    await connected(broken, { onReadError }, async (client) => {
      client.send(request({ offset, length: 100 }), request({ cookie: 8, offset: 15_000, length: 100 }));
      const replies = [await takeSimple(client, () => 100), await takeSimple(client, () => 100)];
      const errorOf = new Map(replies.map(({ cookie, error }) => [cookie, error]));
      expect([errorOf.get(7), errorOf.get(8)]).toEqual([EIO, 0]);
    });
    expect(errors.map((error) => (error as Error).message)).toEqual([text, text]);
  });

  it("in the middle ends its reply, and what came before is right", async () => {
    const source = patternSource(3 * MIB);
    const half: BlockSource = {
      sizeBytes: source.sizeBytes,
      async *read(offset, length) {
        if (offset >= MIB) throw new Error("no more");
        yield* source.read(offset, length);
      },
    };
    await connected(half, { structured: true }, async (client) => {
      const [data, error, ...others] = await readStructured(client, { length: 3 * MIB });
      expect(others).toEqual([]);
      expect(Buffer.compare(data!.payload.subarray(8), source.whole.subarray(0, MIB))).toBe(0);
      expect(errorOf(error!)).toEqual({ error: EIO, text: "no more" });
    });
  });

  it("with a long reason that is not ASCII gives as much of it as a client must take", async () => {
    const source: BlockSource = {
      sizeBytes: 10,
      // eslint-disable-next-line require-yield
      async *read() {
        throw new Error("ü".repeat(5000));
      },
    };
    await connected(source, { structured: true }, async (client) => {
      const [chunk] = await readStructured(client, { length: 10 });
      expect(errorOf(chunk!)).toEqual({ error: EIO, text: "ü".repeat(500) });
    });
  });

  it("by never answering is an input/output error after the time limit", async () => {
    const source = hangingSource(4096);
    const errors: unknown[] = [];
    const options = { limits: { readTimeoutMs: 50 }, onReadError: (error: unknown) => void errors.push(error) };
    await connected(source, options, async (client) => {
      client.send(request({ length: 10 }));
      expect(await takeSimple(client, () => 10)).toMatchObject({ error: EIO });
      expect(errors).toEqual([expect.objectContaining({ code: "timeout" })]);
      expect(source.signals[0]!.reason).toBe(errors[0]);
    });
  });
});

describe("what a client may not ask for", () => {
  const cases: [string, RequestFields, number][] = [
    ["a read beyond the end", { offset: 3 * MIB - 1, length: 2 }, EINVAL],
    ["a read at 2^64 - 1", { offset: 2n ** 64n - 1n, length: 1 }, EINVAL],
    ["a read with a flag that nobody knows", { flags: 0x8000, length: 1 }, EINVAL],
    ["a trim", { type: 4, length: 4096 }, EPERM],
    ["writing zeroes", { type: 6, length: 4096 }, EPERM],
    ["a flush, which was not offered", { type: 3 }, EINVAL],
    ["a command that nobody knows", { type: 99, length: 1 }, EINVAL],
    ["block status without a context", { type: 7, length: 4096 }, EINVAL],
    ["caching over 32 MiB", { type: 5, length: 32 * MIB + 1 }, EOVERFLOW],
    ["caching beyond the end", { type: 5, offset: 3 * MIB, length: 1 }, EINVAL],
    ["caching with a flag", { type: 5, flags: 1, length: 1 }, EINVAL],
  ];

  it.each(cases)("%s is refused, and the next request answered", async (_, fields, error) => {
    await connected(sparse, {}, async (client) => {
      client.send(request(fields));
      expect(await takeSimple(client, () => 0)).toMatchObject({ error, cookie: 7 });
      client.send(request({ length: 10, offset: 100 }));
      expect((await takeSimple(client, () => 10)).data).toEqual(sparse.whole.subarray(100, 110));
    });
    await connected(sparse, { structured: true }, async (client) => {
      expect(errorOf((await readStructured(client, fields))[0]!).error).toBe(error);
    });
  });

  it("unfragmented reads without structured replies", () =>
    connected(sparse, {}, async (client) => {
      client.send(request({ flags: 4, length: 1 }));
      expect((await takeSimple(client, () => 0)).error).toBe(EINVAL);
    }));

  it("a write, the data of which is passed over", () =>
    connected(sparse, {}, async (client) => {
      client.send(request({ type: 1, length: 500_000 }), Buffer.alloc(500_000, 1), request({ cookie: 8, length: 1 }));
      expect(await takeSimple(client, () => 0)).toMatchObject({ error: EPERM, cookie: 7 });
      expect(await takeSimple(client, () => 1)).toMatchObject({ error: 0, cookie: 8 });
    }));
});

describe("block status", () => {
  const statusOf = ({ type, payload }: Chunk): [number, number][] => {
    expect([type, payload.readUInt32BE(0)]).toEqual([5, 1]);
    const count = (payload.length - 4) / 8;
    return Array.from({ length: count }, (_, at) => [
      payload.readUInt32BE(4 + 8 * at),
      payload.readUInt32BE(8 + 8 * at),
    ]);
  };

  it("tells holes of whole blocks and data", () =>
    connected(sparse, { contextOf: "" }, async (client) => {
      const [chunk] = await readStructured(client, { type: 7, length: 3 * MIB });
      expect(statusOf(chunk!)).toEqual([
        [8192, 0],
        [MIB - 8192, 3],
        [1.5 * MIB, 0],
        [MIB / 2 - 4096, 3],
        [4096, 0],
      ]);
    }));

  it("tells one extent where one is asked for, within what was asked", () =>
    connected(sparse, { contextOf: "" }, async (client) => {
      const [chunk] = await readStructured(client, { type: 7, flags: 8, offset: 8192, length: 100 });
      expect(statusOf(chunk!)).toEqual([[100, 3]]);
    }));

  it("tells no more than 4,096 extents at once", async () => {
    const segments = Array.from({ length: 10_000 }, (_, index) => ({ offset: 8192 * index, length: 1 }));
    await connected(patternSource(8192 * 10_000, { segments }), { contextOf: "" }, async (client) => {
      const [chunk] = await readStructured(client, { type: 7, length: 8192 * 10_000 });
      expect(statusOf(chunk!)).toHaveLength(4096);
    });
  });

  it.each([
    ["nothing", { length: 0 }],
    ["what is beyond the end", { offset: 3 * MIB - 1, length: 2 }],
    ["anything, with another flag", { flags: 4, length: 10 }],
  ])("of %s is refused", (_, fields) =>
    connected(sparse, { contextOf: "" }, async (client) => {
      expect(errorOf((await readStructured(client, { type: 7, ...fields }))[0]!).error).toBe(EINVAL);
    }),
  );

  it("is not there for a context that was for another disk", () =>
    serving(new Map(["a", ""].map((name) => [name, sparse])), {}, async (server) => {
      using client = await readyClient(server.address, { contextOf: "a" });
      expect(errorOf((await readStructured(client, { type: 7, length: 10 }))[0]!).error).toBe(EINVAL);
    }));
});

describe("caching", () => {
  it("reads the data of a range, and no holes", async () => {
    const source = patternSource(MIB, { segments: [{ offset: 8192, length: 4096 }] });
    await connected(source, { structured: true }, async (client) => {
      client.send(request({ type: 5, length: MIB, cookie: 3 }));
      expect(await takeSimple(client, () => 0)).toMatchObject({ error: 0, cookie: 3 });
      expect(source.reads).toEqual([{ offset: 8192, length: 4096 }]);
    });
  });

  it("that fails says so", async () => {
    await connected(hangingSource(4096), { structured: true, limits: { readTimeoutMs: 20 } }, async (client) => {
      client.send(request({ type: 5, length: 4096 }));
      expect(errorOf(await takeChunk(client))).toEqual({
        error: EIO,
        text: new NbdError("timeout", "cannot read a disk: it did not answer within 20 ms").message,
      });
    });
  });
});
