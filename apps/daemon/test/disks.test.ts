import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { keepDisks, pullImage } from "@lamella/image-store";
import type { DiskRequest, KeptDisk } from "@lamella/image-store";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { addDiskRoutes } from "../src/api/disks.js";
import { startHttpServer } from "../src/http-server.js";
import { ANY_PORT } from "./fixture.js";
import { PLATFORM } from "./sample-images.js";
import { leasesOf, pushImage, serveStore } from "./store-fixture.js";
import type { ServedStore } from "./store-fixture.js";

const NOBODY = "0".repeat(64);

interface Disks {
  readonly served: ServedStore;
  readonly disk: KeptDisk;
  readonly whole: Buffer;
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>;
}

const NAME = "docker.io/library/app:v1";

async function keepDisk({ store }: ServedStore, request: DiskRequest): Promise<KeptDisk> {
  const { digest } = await pushImage(store, NAME, [[{ path: "file", text: "data".repeat(20_000) }]]);
  const [disk] = await store.lease("test", [], async (lease) => {
    const image = await pullImage(store, store, digest, { platform: PLATFORM, lease });
    return keepDisks(store, image, request, {});
  });
  return disk!;
}

let disks: Disks;
beforeAll(async () => {
  const served = await serveStore();
  const disk = await keepDisk(served, { format: "ext4" });
  const api = served.serve(addDiskRoutes);
  disks = { served, disk, whole: await readFile(disk.path), ask: async (path, init) => api.request(path, init) };
});
afterAll(async () => disks.served[Symbol.asyncDispose]());

describe("GET /disks/{key}", () => {
  it("sends a disk, whole or a part, under its key", async () => {
    const { disk, whole, ask } = disks;
    const answer = await ask(`/disks/${disk.key}`);
    expect([answer.status, answer.headers.get("ETag")]).toEqual([200, `"${disk.key}"`]);
    expect(Buffer.from(await answer.arrayBuffer()).equals(whole)).toBe(true);
    const part = await ask(`/disks/${disk.key}`, {
      headers: { Range: "bytes=1000-1100063", "If-Range": `"${disk.key}"` },
    });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(1000, 1_100_064))).toBe(true);
    const head = await ask(`/disks/${disk.key}`, { method: "HEAD" });
    expect([head.status, head.headers.get("Content-Length")]).toEqual([200, `${whole.length}`]);
  });

  it("answers 404 for a disk that there is not, and 400 for what is no key", async () => {
    expect((await disks.ask(`/disks/${NOBODY}`)).status).toBe(404);
    expect((await disks.ask("/disks/..%2F..%2Flamella.db")).status).toBe(400);
  });

  it("holds the disk by a lease while it is sent, and no longer", async () => {
    const { served, disk, ask } = disks;
    const answer = await ask(`/disks/${disk.key}`);
    const reader = answer.body!.getReader();
    await reader.read();
    expect(await leasesOf(served.store)).toEqual([`send disk ${disk.key}`]);
    await reader.cancel();
    expect(await leasesOf(served.store)).toEqual([]);
  });
});

describe("a disk that is sent over HTTP", () => {
  it("stays while it is sent, and is let go of when the client hangs up", async () => {
    await using served = await serveStore();
    const { store } = served;
    const disk = await keepDisk(served, { format: "ext4", sizeBytes: 512 << 20 });
    const server = await startHttpServer({
      fetch: async (request) => served.serve(addDiskRoutes).fetch(request),
      address: ANY_PORT,
    });
    try {
      const head = await fetch(`${server.url}/disks/${disk.key}`, { method: "HEAD" });
      expect(head.headers.get("Content-Length")).toBe(`${512 << 20}`);
      const client = httpRequest(`${server.url}/disks/${disk.key}`, { agent: false });
      client.on("error", () => {});
      client.end();
      await new Promise<void>((resolve) => client.on("response", (response) => (response.pause(), resolve())));
      await store.untag(NAME);
      expect((await store.gc({ graceMs: 0 })).totals.disk.count).toBe(0);
      expect(await openFiles(disk.path)).toBe(1);
      client.destroy();
      while ((await leasesOf(store)).length > 0) await sleep(5);
      expect(await openFiles(disk.path)).toBe(0);
      expect((await store.gc({ graceMs: 0 })).totals.disk.count).toBe(1);
    } finally {
      await server.close(0);
    }
  });
});

/** How often this process has a file open. */
async function openFiles(path: string): Promise<number> {
  const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
  return (await Promise.all(links)).filter((target) => target === path).length;
}

describe("the disks that are served as block devices", () => {
  it("are attached under their keys on a socket of the user alone, and held until they are detached", async () => {
    const { served, disk, whole, ask } = disks;
    const path = `/disks/${disk.key}/nbd`;
    const answers = await Promise.all([ask(path, { method: "PUT" }), ask(path, { method: "PUT" })]);
    const socket = join(served.root, "run", "nbd.sock");
    const attachment = { key: disk.key, uri: `nbd+unix:///${disk.key}?socket=${socket}`, connections: 0 };
    for (const answer of answers) expect([answer.status, await answer.json()]).toEqual([200, attachment]);
    expect([(await stat(join(served.root, "run"))).mode & 0o777, (await stat(socket)).mode & 0o777]).toEqual([
      0o700, 0o600,
    ]);
    expect(await leasesOf(served.store)).toEqual([`serve disk ${disk.key}`]);

    const client = await nbdClient(socket, disk.key);
    expect((await client.read(1024, 200)).equals(whole.subarray(1024, 1224))).toBe(true);
    expect(await (await ask("/nbd")).json()).toEqual([{ ...attachment, connections: 1 }]);
    expect((await ask(path, { method: "DELETE" })).status).toBe(204);
    await client.ended;
    expect(await leasesOf(served.store)).toEqual([]);
    expect(await (await ask("/nbd")).json()).toEqual([]);
    expect((await ask(path, { method: "DELETE" })).status).toBe(404);

    // the socket stays for the next
    expect((await ask(path, { method: "PUT" })).status).toBe(200);
    expect((await (await nbdClient(socket, disk.key)).read(0, 10)).equals(whole.subarray(0, 10))).toBe(true);
  });

  it("are none for a disk that there is not", async () => {
    expect((await disks.ask(`/disks/${NOBODY}/nbd`, { method: "PUT" })).status).toBe(404);
  });

  it("are given up when the daemon stops, whoever reads them", async () => {
    const { served, disk, ask } = disks;
    await ask(`/disks/${disk.key}/nbd`, { method: "PUT" });
    const client = await nbdClient(join(served.root, "run", "nbd.sock"), disk.key);
    await served.context.attachments[Symbol.asyncDispose]();
    await client.ended;
    expect(await leasesOf(served.store)).toEqual([]);
    expect((await ask(`/disks/${disk.key}/nbd`, { method: "PUT" })).status).toBe(503);
  });
});

/** Just enough of a client: fixed newstyle, one export, simple replies. */
async function nbdClient(
  path: string,
  name: string,
): Promise<{ read(offset: number, length: number): Promise<Buffer>; ended: Promise<void> }> {
  const socket: Socket = connect(path);
  let held = Buffer.alloc(0);
  const state = { isOver: false };
  socket.on("data", (chunk) => (held = Buffer.concat([held, chunk])));
  socket.on("error", () => {});
  const ended = new Promise<void>((resolve) => socket.on("close", () => ((state.isOver = true), resolve())));
  const take = async (length: number): Promise<Buffer> => {
    while (held.length < length && !state.isOver) await sleep(1);
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  };
  const number = (value: number, bytes: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUIntBE(value, Math.max(bytes - 6, 0), Math.min(bytes, 6));
    return buffer;
  };
  await take(18);
  // no zeroes; then the export's name, which is answered with its size and flags
  socket.write(
    Buffer.concat([number(3, 4), Buffer.from("IHAVEOPT"), number(1, 4), number(name.length, 4), Buffer.from(name)]),
  );
  await take(10);
  return {
    ended,
    async read(offset, length) {
      socket.write(
        Buffer.concat([number(0x25609513, 4), number(0, 4), number(7, 8), number(offset, 8), number(length, 4)]),
      );
      await take(16);
      return take(length);
    },
  };
}
