import { writeFile } from "node:fs/promises";

import type { GcOptions, ImageStore, OpenImageSource } from "@lamella/image-store";
import type { z } from "@hono/zod-openapi";
import { digestOf, OCI_MANIFEST } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import type { CheckReport, GarbageReport, Queue, Usage } from "../src/api/schemas.js";
import { addStoreRoutes } from "../src/api/store.js";
import { createStoreUsage } from "../src/store-usage.js";
import { pushImage, serveStore } from "./store-fixture.js";

const SHARED = [{ path: "shared", text: "s".repeat(5000) }];

function post(body?: object): RequestInit {
  if (body === undefined) return { method: "POST" };
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function addBlob(store: ImageStore, text: string): Promise<number> {
  const bytes = Buffer.from(text);
  const digest = digestOf(bytes);
  await store.content.push(
    { mediaType: "x/y", digest, size: bytes.length },
    (async function* () {
      yield bytes;
    })(),
  );
  return bytes.length;
}

describe("GET /usage and POST /gc", () => {
  it("tell what images share, and what would be free and then is", async () => {
    await using served = await serveStore();
    const { store } = served;
    const one = await pushImage(store, "docker.io/library/a:1", [SHARED, [{ path: "a", text: "a" }]]);
    await pushImage(store, "docker.io/library/b:1", [SHARED, [{ path: "b", text: "b" }]]);
    await store.tag("docker.io/library/a:also", one);
    const loose = await addBlob(store, "loose");
    const api = served.serve(addStoreRoutes);

    const usage = (await (await api.request("/usage")).json()) as z.infer<typeof Usage>;
    const image = usage.images.find(({ manifest_digest }) => manifest_digest === one.digest)!;
    expect(image.names).toEqual(["docker.io/library/a:1", "docker.io/library/a:also"]);
    expect(image.size_bytes).toBe(image.shared_bytes + image.unique_bytes);
    expect(image.shared_bytes).toBeGreaterThan(0);
    expect(usage.image_bytes).toBe(
      usage.images.reduce((sum, { unique_bytes }) => sum + unique_bytes, 0) + image.shared_bytes,
    );
    // as it lies on disk, in whole blocks
    expect(usage.blob_bytes % 512).toBe(0);
    expect(usage.blob_bytes).toBeGreaterThanOrEqual(usage.image_bytes);
    expect([usage.collectable_bytes, usage.disk_bytes, usage.layer_bytes]).toEqual([loose, 0, 0]);
    expect(usage.free_bytes).toBeGreaterThan(0);

    const young = (await (await api.request("/gc", post())).json()) as z.infer<typeof GarbageReport>;
    expect([young.freed_bytes, young.young]).toEqual([0, { count: 1, bytes: loose }]);
    const dry = (await (await api.request("/gc", post({ dry_run: true, grace_seconds: 0 }))).json()) as z.infer<
      typeof GarbageReport
    >;
    expect([dry.dry_run, dry.freed_bytes, dry.blobs]).toEqual([true, loose, { count: 1, bytes: loose }]);
    const done = (await (await api.request("/gc", post({ grace_seconds: 0 }))).json()) as z.infer<typeof GarbageReport>;
    expect([done.dry_run, done.freed_bytes]).toEqual([false, loose]);
    // what was known before is forgotten
    expect(((await (await api.request("/usage")).json()) as z.infer<typeof Usage>).collectable_bytes).toBe(0);
  });

  it("refuse what they do not know", async () => {
    await using served = await serveStore();
    const api = served.serve(addStoreRoutes);
    expect((await api.request("/gc", post({ grace_seconds: -1 }))).status).toBe(400);
    expect((await api.request("/gc", post({ everything: true }))).status).toBe(400);
  });

  it("end when the client goes, and when the daemon stops", async () => {
    await using served = await serveStore();
    const signals: AbortSignal[] = [];
    const waiting = {
      ...served.store,
      gc: ({ signal }: GcOptions = {}) =>
        new Promise<never>((_, reject) => {
          signals.push(signal!);
          signal!.addEventListener("abort", () => reject(signal!.reason as Error));
        }),
      async *check({ signal }: GcOptions = {}) {
        await waiting.gc({ signal });
        yield* [];
      },
    };
    const api = served.serve((routes, context) => addStoreRoutes(routes, { ...context, store: waiting }));
    for (const path of ["/gc", "/check"]) {
      const gone = new AbortController();
      const answer = api.request(path, { ...post(), signal: gone.signal });
      await Promise.resolve();
      while (signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      gone.abort();
      await answer;
      expect(signals.pop()?.aborted).toBe(true);
    }
    const answer = api.request("/gc", post());
    while (signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    served.stopping.abort(new Error("stopping"));
    await answer;
    expect(signals[0]?.aborted).toBe(true);
  });
});

describe("createStoreUsage()", () => {
  it("looks once for all who ask at the same time, and goes on when one of them leaves", async () => {
    await using served = await serveStore();
    let looks = 0;
    const counting: ImageStore = { ...served.store, gc: (options) => (looks++, served.store.gc(options)) };
    const usage = createStoreUsage(counting, served.stopping.signal);
    const gone = new AbortController();
    const left = usage.read({ signal: gone.signal });
    const staying = [usage.read(), usage.read()];
    gone.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    const [one, other] = await Promise.all(staying);
    expect(one).toBe(other);
    expect(await usage.read()).toBe(one);
    expect(looks).toBe(1);
    usage.forget();
    await usage.read();
    expect(looks).toBe(2);
  });

  it("looks again after it has failed", async () => {
    await using served = await serveStore();
    let fails = true;
    const failing: ImageStore = {
      ...served.store,
      gc: (options) => (fails ? Promise.reject(new Error("no")) : served.store.gc(options)),
    };
    const usage = createStoreUsage(failing, served.stopping.signal);
    await expect(usage.read()).rejects.toThrow("no");
    fails = false;
    expect((await usage.read()).images).toEqual([]);
  });
});

describe("POST /check", () => {
  it("tells what is wrong, and what was done about it", async () => {
    await using served = await serveStore();
    const { store } = served;
    const { digest } = await pushImage(store, "docker.io/library/a:1", [SHARED]);
    const [layer] = (await store.get(digest)).layers;
    const { size } = layer!.descriptor;
    await writeFile(store.content.blobPath(layer!.descriptor.digest), Buffer.alloc(size));
    const api = served.serve(addStoreRoutes);
    const check = async (body?: object): Promise<z.infer<typeof CheckReport>> =>
      (await (await api.request("/check", post(body))).json()) as z.infer<typeof CheckReport>;
    const found = await check();
    expect(found.omitted).toBe(0);
    expect(found.findings).toContainEqual(
      expect.objectContaining({ kind: "blob_damaged", subject: layer!.descriptor.digest, repair: null }),
    );
    const mended = await check({ repair: true });
    expect(mended.findings.find(({ kind }) => kind === "blob_damaged")?.repair).toMatch(/^dropped/);
  });

  it("tells of the first thousand findings, and how many there are beyond", async () => {
    await using served = await serveStore();
    const finding = { kind: "blob_damaged", subject: "x", problem: "y", repair: undefined } as const;
    const broken: ImageStore = {
      ...served.store,
      async *check() {
        for (let count = 0; count < 1003; count++) yield finding;
      },
    };
    const api = served.serve((routes, context) => addStoreRoutes(routes, { ...context, store: broken }));
    const report = (await (await api.request("/check", post({}))).json()) as z.infer<typeof CheckReport>;
    expect([report.findings.length, report.omitted]).toEqual([1000, 3]);
  });
});

/** Says what every name stands for, and gives nothing of it until it is told to stop. */
const hangingSource: OpenImageSource = async (name) => ({
  name,
  images: {
    resolve: async () => ({ mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from(name)), size: 7 }),
    async *fetch(_, { signal } = {}) {
      await new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
      yield* [];
    },
  },
  close: async () => {},
});

describe("GET /queue", () => {
  it("shows what has not ended, in the order in which it is built", async () => {
    await using served = await serveStore({}, hangingSource);
    const { manager } = served;
    const { limit } = manager.queue;
    const api = served.serve(addStoreRoutes);
    const queue = async (): Promise<z.infer<typeof Queue>> => (await (await api.request("/queue")).json()) as never;
    const names = ["1", "2", "3", "4", "5"].map((tag) => `docker.io/library/app:${tag}`);
    const ids: number[] = [];
    for (const name of names) ids.push((await manager.createImage(name)).id);
    const full = await queue();
    expect([full.limit, full.active, full.pending, full.length]).toEqual([limit, limit, 5 - limit, 5]);
    expect(full.images.map(({ name }) => name)).toEqual(names);
    expect(full.images.map(({ queue_position }) => queue_position)).toEqual(
      names.map((_, index) => Math.max(index + 1 - limit, 0)),
    );
    await manager.cancelBuild(ids[4]!);
    expect((await queue()).images.map(({ name }) => name)).toEqual(names.slice(0, 4));
    for (const id of ids) await manager.cancelBuild(id);
    await manager.queue.idle();
    expect(await queue()).toEqual({ limit, active: 0, pending: 0, length: 0, images: [] });
  });
});
