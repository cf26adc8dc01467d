import { link, lstat, readdir, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { serveNbd } from "../src/index.js";
import type { BlockSource, NbdExports, NbdListen, NbdServer } from "../src/index.js";
import { rawClient, readyClient, request, takeSimple } from "./raw-client.js";
import { inDirectory } from "./serving.js";
import { hangingSource, patternSource } from "./sources.js";

const source = patternSource(100_000);
const range = (offset: number, length: number) => ({ offset, length });
const code = (code: string): unknown => expect.objectContaining({ name: "NbdError", code });

async function firstBytes({ address }: NbdServer, name = ""): Promise<Buffer> {
  using client = await readyClient(address, { name });
  client.send(request({ length: 4 }));
  return (await takeSimple(client, () => 4)).data;
}

describe("serveNbd() on a unix socket", () => {
  it("makes it for its user alone, and removes it at the end", () =>
    inDirectory(async (directory) => {
      const path = join(directory, "a disk?.sock");
      const server = await serveNbd(source, { path });
      expect((await lstat(path)).mode & 0o777).toBe(0o600);
      expect(await readdir(directory)).toEqual(["a disk?.sock"]);
      expect(server.address).toEqual({ kind: "unix", path, mode: 0o600 });
      expect(server.uri()).toBe(`nbd+unix:///?socket=${directory}/a%20disk%3F.sock`);
      expect(server.uri("ä/b")).toBe(`nbd+unix:///%C3%A4%2Fb?socket=${directory}/a%20disk%3F.sock`);
      expect(await firstBytes(server)).toEqual(source.whole.subarray(0, 4));
      await server.close();
      expect(await readdir(directory)).toEqual([]);
    }));

  it("gives it another mode where one is asked for", () =>
    inDirectory(async (directory) => {
      const path = join(directory, "s");
      await using server = await serveNbd(source, { path, mode: 0o660 });
      expect((await lstat(path)).mode & 0o777).toBe(0o660);
      expect(server.connections).toBe(0);
    }));

  it("replaces one that nobody listens on", () =>
    inDirectory(async (directory) => {
      const path = join(directory, "s");
      await abandonSocket(path);
      expect((await lstat(path)).isSocket()).toBe(true);
      await using server = await serveNbd(source, { path });
      expect(await firstBytes(server)).toEqual(source.whole.subarray(0, 4));
    }));

  it("leaves one alone that somebody listens on", () =>
    inDirectory(async (directory) => {
      const path = join(directory, "s");
      await using server = await serveNbd(source, { path });
      await expect(serveNbd(source, { path })).rejects.toEqual(code("busy"));
      expect(await firstBytes(server)).toEqual(source.whole.subarray(0, 4));
      expect(await readdir(directory)).toEqual(["s"]);
    }));

  it("leaves another's socket alone when it closes", () =>
    inDirectory(async (directory) => {
      const path = join(directory, "s");
      const server = await serveNbd(source, { path });
      await rename(path, `${path}.old`);
      await using other = await serveNbd(source, { path });
      await server.close();
      expect(await firstBytes(other)).toEqual(source.whole.subarray(0, 4));
    }));

  it("refuses a path where something else is, or nothing can be", () =>
    inDirectory(async (directory) => {
      await writeFile(join(directory, "file"), "kept");
      for (const path of ["file", "missing/s", "x".repeat(100)])
        await expect(serveNbd(source, { path: join(directory, path) }), path).rejects.toEqual(code("listen_failed"));
      expect(await readdir(directory)).toEqual(["file"]);
    }));
});

describe("serveNbd() on TCP", () => {
  it.each([
    [{ port: 0 }, "127.0.0.1"],
    [{ port: 0, host: "localhost" }, "127.0.0.1"],
    [{ port: 0, host: "127.1.2.3" }, "127.1.2.3"],
  ])("%j listens on %s", async (listen, host) => {
    await using server = await serveNbd(source, listen);
    const { address } = server;
    expect(address).toMatchObject({ kind: "tcp", host });
    expect(server.uri()).toMatch(/^nbd:\/\/127\.[\d.]+:\d+$/);
    expect(server.uri("a b")).toMatch(/\/a%20b$/);
    expect(await firstBytes(server)).toEqual(source.whole.subarray(0, 4));
  });

  it.each(["0.0.0.0", "::", "192.168.1.1", "example.com", "127.0.0.1.example.com", ""])("refuses %j", async (host) => {
    await expect(serveNbd(source, { port: 0, host })).rejects.toEqual(code("address_exposed"));
  });

  it("refuses a port that is taken", async () => {
    await using server = await serveNbd(source, { port: 0 });
    const { port } = server.address as { port: number };
    await expect(serveNbd(source, { port })).rejects.toEqual(code("busy"));
  });
});

describe("serveNbd()", () => {
  it("serves several disks by name", async () => {
    const other = patternSource(5000, { segments: [] });
    const disks = new Map<string, BlockSource>().set("one", source).set("two", other);
    await using server = await serveNbd(disks, { port: 0 });
    expect(await firstBytes(server, "one")).toEqual(source.whole.subarray(0, 4));
    expect(await firstBytes(server, "two")).toEqual(Buffer.alloc(4));
    await expect(firstBytes(server)).rejects.toThrow("no such disk");
  });

  it.each<[string, NbdExports, NbdListen & { limits?: object }]>([
    ["no disk", new Map(), { port: 0 }],
    ["a disk of no size", { ...source, sizeBytes: Number.NaN }, { port: 0 }],
    ["a name of over 4,096 bytes", new Map([["x".repeat(4097), source]]), { port: 0 }],
    ["a name that is not Unicode", new Map([["\ud800", source]]), { port: 0 }],
    ["segments that overlap", { ...source, segments: [range(0, 2), range(1, 2)] }, { port: 0 }],
    ["a limit of nothing", source, { port: 0, limits: { maxRequests: 0 } }],
    ["a time that no timer can wait", source, { port: 0, limits: { stallMs: 2 ** 31 } }],
    ["port 70,000", source, { port: 70_000 }],
    ["a path with a NUL", source, { path: "/tmp/a\0b" }],
    ["a mode that is none", source, { path: "/tmp/s", mode: 0o1777 }],
  ])("refuses %s", async (_, exports, options) => {
    await expect(serveNbd(exports, options)).rejects.toEqual(code("option_invalid"));
  });

  it("close() answers what is in flight, and takes no more", async () => {
    let release = (): void => {};
    const slow: BlockSource = {
      sizeBytes: 10,
      async *read(_, length) {
        await new Promise<void>((resolve) => (release = resolve));
        yield Buffer.alloc(length, 5);
      },
    };
    const server = await serveNbd(slow, { port: 0 });
    using idle = await readyClient(server.address);
    using early = await rawClient(server.address);
    using client = await readyClient(server.address);
    client.send(request({ length: 10 }));
    while (server.stats().requests === 0) await sleep(5);
    const closed = server.close();
    expect(server.close()).toBe(closed);
    await Promise.all([idle.end(), early.end()]);
    client.send(request({ length: 10, cookie: 8 }));
    release();
    expect(await takeSimple(client, () => 10)).toMatchObject({ error: 0, cookie: 7, data: Buffer.alloc(10, 5) });
    expect(await client.end()).toHaveLength(0);
    await closed;
    await expect(rawClient(server.address)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("close() hangs up on what does not end in time", async () => {
    const source = hangingSource(10);
    const server = await serveNbd(source, { port: 0 });
    using client = await readyClient(server.address);
    client.send(request({ length: 10 }));
    while (source.signals.length === 0) await sleep(5);
    await server.close({ graceMs: 30 });
    expect(source.signals[0]!.aborted).toBe(true);
    expect(await client.end()).toHaveLength(0);
  });

  it("an aborted signal cuts short a close() that waits", async () => {
    const abort = new AbortController();
    const source = hangingSource(10);
    const server = await serveNbd(source, { port: 0, signal: abort.signal });
    using client = await readyClient(server.address);
    client.send(request({ length: 10 }));
    while (source.signals.length === 0) await sleep(5);
    const closed = server.close({ graceMs: 60_000 });
    abort.abort();
    await closed;
    expect(source.signals[0]!.aborted).toBe(true);
    expect(await client.end()).toHaveLength(0);
  });

  it("checks its signal before it listens", async () => {
    const reason = new Error("not now");
    await inDirectory(async (directory) => {
      const signal = AbortSignal.abort(reason);
      await expect(serveNbd(source, { path: join(directory, "s"), signal })).rejects.toBe(reason);
      expect(await readdir(directory)).toEqual([]);
    });
  });

  it("an aborted signal closes it at once, and its socket goes", () =>
    inDirectory(async (directory) => {
      const abort = new AbortController();
      const source = hangingSource(10);
      const server = await serveNbd(source, { path: join(directory, "s"), signal: abort.signal });
      using client = await readyClient(server.address);
      client.send(request({ length: 10 }));
      while (source.signals.length === 0) await sleep(5);
      abort.abort(new Error("enough"));
      await server.close();
      expect(source.signals[0]!.aborted).toBe(true);
      expect(await client.end()).toHaveLength(0);
      expect(await readdir(directory)).toEqual([]);
    }));
});

/** Leaves a socket behind as a process does that is killed. */
async function abandonSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(`${path}.made`, resolve));
  await link(`${path}.made`, path);
  await new Promise((resolve) => server.close(resolve));
}
