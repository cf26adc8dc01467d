import { setTimeout as sleep } from "node:timers/promises";

import type { Entry, FileTree, ReadOptions } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { PROTOCOL } from "../src/protocol/layout.js";
import { type CallServer, type CallServerOptions, createCallServer } from "../src/server/call-server.js";
import { buildIndex } from "../src/tree/build-index.js";

const { errno } = PROTOCOL;
/** No process has it. */
const NOBODY = 2 ** 30;

/** The tree, with another way to read its one file, which is node 1. */
function treeReading(read: (entry: Entry, options: ReadOptions) => AsyncIterable<Uint8Array>, size = 10): FileTree {
  const tree = memoryTree([{ path: "file", content: { size, fill: 5 } }]);
  return {
    entryCount: tree.entryCount,
    inodeCount: tree.inodeCount,
    entries: (options) => tree.entries(options),
    lookup: (path, options) => tree.lookup(path, options),
    read: (entry, options = {}) => read(entry, options),
    [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose](),
  };
}

interface Answer {
  readonly unique: bigint;
  readonly errno: number;
  readonly result: Buffer;
}

interface Served {
  readonly server: CallServer;
  readonly answers: Answer[];
  readonly errors: unknown[];
  read(unique: bigint, size?: number, offset?: number, pid?: number): void;
  /** Resolves when there are so many answers. */
  answered(count: number): Promise<void>;
}

async function serveTree(tree: FileTree, options: Partial<CallServerOptions> = {}): Promise<Served> {
  const answers: Answer[] = [];
  const errors: unknown[] = [];
  const device = {
    reply: (unique: bigint, result: Uint8Array) => void answers.push({ unique, errno: 0, result: Buffer.from(result) }),
    fail: (unique: bigint, code: number) => void answers.push({ unique, errno: code, result: Buffer.alloc(0) }),
    close: () => {},
  };
  const index = await buildIndex(tree);
  const onReadError = (error: unknown): void => void errors.push(error);
  const server = createCallServer({ device, tree, index, timeoutMs: 5000, onReadError, ...options });
  return {
    server,
    answers,
    errors,
    read: (unique, size = 10, offset = 0, pid = 0) =>
      server.handle({ kind: "read", unique, node: 1, offset, size, pid }),
    async answered(count) {
      while (answers.length < count) await sleep(1);
    },
  };
}

const never = new Promise<never>(() => {});

describe("createCallServer()", () => {
  it("answers reads with exactly their bytes, in whatever pieces the tree gives them", async () => {
    const pieces = treeReading(async function* (_, { offset = 0, length = 0 }) {
      for (let at = offset; at < offset + length; at++) yield Uint8Array.of(at);
    });
    const { read, answers, answered, server } = await serveTree(pieces);
    read(1n, 10);
    read(2n, 3, 7);
    await answered(2);
    expect(answers.find(({ unique }) => unique === 1n)?.result).toEqual(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    expect(answers.find(({ unique }) => unique === 2n)?.result).toEqual(Buffer.from([7, 8, 9]));
    expect(server.stats()).toEqual({ reads: 2, readBytes: 13, failedReads: 0, waiting: 0 });
  });

  it("takes bytes that are at hand without reading", async () => {
    const tree = treeReading(() => {
      throw new Error("read");
    });
    const { read, answers } = await serveTree({
      ...tree,
      readNow: (_, offset, length) => Buffer.alloc(length, offset),
    });
    read(1n, 4, 3);
    await sleep(1);
    expect(answers).toEqual([{ unique: 1n, errno: 0, result: Buffer.from([3, 3, 3, 3]) }]);
  });

  it.each<[string, () => AsyncIterable<Uint8Array>]>([
    [
      "throws",
      async function* () {
        yield Buffer.alloc(3);
        throw new Error("broken");
      },
    ],
    [
      "ends early",
      async function* () {
        yield Buffer.alloc(9);
      },
    ],
    ["gives nothing", async function* () {}],
    [
      "gives too much",
      async function* () {
        yield Buffer.alloc(11);
      },
    ],
    [
      "throws at once",
      () => {
        throw new Error("closed");
      },
    ],
  ])("answers EIO where the tree %s, never what has come so far", async (_, read) => {
    const served = await serveTree(treeReading(read));
    served.read(1n);
    await served.answered(1);
    expect(served.answers).toEqual([{ unique: 1n, errno: errno.EIO, result: Buffer.alloc(0) }]);
    expect(served.errors).toHaveLength(1);
    expect(served.server.stats()).toMatchObject({ reads: 0, failedReads: 1, waiting: 0 });
  });

  it("answers EIO when the time limit is over, also where the tree does not heed its signal", async () => {
    let signal: AbortSignal | undefined;
    const tree = treeReading(async function* (_, options) {
      signal = options.signal;
      yield Buffer.alloc(1);
      await never;
    });
    const { read, answers, answered, errors } = await serveTree(tree, { timeoutMs: 20 });
    read(1n);
    await answered(1);
    expect(answers[0]).toMatchObject({ unique: 1n, errno: errno.EIO });
    expect(errors).toMatchObject([{ code: "read_failed" }]);
    expect(signal?.aborted).toBe(true);
  });

  it("answers once, whatever comes after the limit", async () => {
    let release: () => void = () => {};
    const tree = treeReading(async function* () {
      await new Promise<void>((resolve) => (release = resolve));
      yield Buffer.alloc(10);
    });
    const { read, answers, answered } = await serveTree(tree, { timeoutMs: 20 });
    read(1n);
    await answered(1);
    release();
    await sleep(10);
    expect(answers).toHaveLength(1);
  });

  it("reads some at a time, and lets the others in as those end or are given up", async () => {
    let running = 0;
    let most = 0;
    const releases: (() => void)[] = [];
    const tree = treeReading(async function* (_, { offset }) {
      most = Math.max(most, ++running);
      // Each second one never ends.
      await new Promise<void>((resolve) => releases.push(offset === 0 ? resolve : () => {}));
      running--;
      yield Buffer.alloc(5);
    });
    const { read, answers, answered, server } = await serveTree(tree, { timeoutMs: 300 });
    for (let unique = 0n; unique < 100n; unique++) read(unique, 5, unique % 2n === 0n ? 0 : 5);
    const work = setInterval(() => releases.splice(0).forEach((release) => release()), 1);
    await answered(100);
    clearInterval(work);
    expect(most).toBeGreaterThan(16);
    expect(answers.filter((answer) => answer.errno === 0).length).toBeGreaterThan(10);
    expect(new Set(answers.map(({ unique }) => unique)).size).toBe(100);
    expect(server.stats().waiting).toBe(0);
    // Places are not lost: one more is read at once.
    releases.length = 0;
    read(200n, 5, 0);
    while (releases.length === 0) await sleep(1);
    releases[0]!();
    await answered(101);
    expect(answers.at(-1)).toMatchObject({ unique: 200n, errno: 0 });
  });

  it("answers EINTR when who reads is being killed, and goes on at any other signal", async () => {
    const { read, answers, answered, server, errors } = await serveTree(treeReading(() => neverRead()));
    read(1n, 10, 0, process.pid);
    read(2n, 10, 0, NOBODY);
    read(3n, 10, 0, 0);
    for (const unique of [1n, 2n, 3n, 4n]) server.handle({ kind: "interrupt", unique });
    await answered(1);
    await sleep(250);
    expect(answers).toEqual([{ unique: 2n, errno: errno.EINTR, result: Buffer.alloc(0) }]);
    expect(errors).toEqual([]);
    server.close();
    expect(answers.map(({ errno: code }) => code)).toEqual([errno.EINTR, errno.EIO, errno.EIO]);
  });

  it("aborts everything when it is closed", async () => {
    const signals: AbortSignal[] = [];
    const { read, server, answers, errors } = await serveTree(
      treeReading((_, { signal }) => {
        signals.push(signal!);
        return neverRead();
      }),
    );
    read(1n);
    read(2n);
    await sleep(1);
    server.close();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(answers).toHaveLength(2);
    expect(errors).toEqual([]);
    expect(server.stats().waiting).toBe(0);
  });

  it("gives a state file a node for each content, until the kernel has forgotten it", async () => {
    let state = { fetched: 1 };
    const { server, answers, answered } = await serveTree(memoryTree([{ path: "file" }]), {
      stateFile: async () => state,
    });
    const lookup = async (unique: bigint): Promise<number> => {
      server.handle({ kind: "state", unique, node: 0 });
      await answered(answers.length + 1);
      return Number(answers.at(-1)!.result.readBigUInt64LE(0)) - 1;
    };
    const read = (node: number): string | number => {
      server.handle({ kind: "read", unique: 9n, node, offset: 0, size: 4096, pid: 0 });
      const { errno: code, result } = answers.at(-1)!;
      return code === 0 ? result.toString() : code;
    };
    const first = await lookup(1n);
    expect(await lookup(2n)).toBe(first);
    state = { fetched: 2 };
    const second = await lookup(3n);
    expect(second).not.toBe(first);
    expect([read(first), read(second)]).toEqual(['{"fetched":1}\n', '{"fetched":2}\n']);
    server.handle({ kind: "attributes", unique: 4n, node: second });
    expect(answers.at(-1)!.result.readBigUInt64LE(16 + 8)).toBe(14n);
    server.handle({ kind: "forget", node: first, lookups: 1 });
    expect(read(first)).toBe('{"fetched":1}\n');
    server.handle({ kind: "forget", node: first, lookups: 1 });
    expect([read(first), read(77)]).toEqual([errno.ESTALE, errno.ESTALE]);
    server.handle({ kind: "attributes", unique: 5n, node: first });
    expect(answers.at(-1)!.errno).toBe(errno.ESTALE);
  });

  it("answers EIO to who opens a state file that cannot be told", async () => {
    const stateFile = (): never => {
      throw new Error("no state");
    };
    const { server, answers, answered, errors } = await serveTree(memoryTree([]), { stateFile });
    server.handle({ kind: "state", unique: 1n, node: 0 });
    await answered(1);
    expect(answers[0]).toMatchObject({ unique: 1n, errno: errno.EIO });
    expect(errors).toMatchObject([{ message: "no state" }]);
  });
});

async function* neverRead(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array();
  await never;
}
