import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, readlink, truncate } from "node:fs/promises";
import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";

import { ImageStoreError, openImageStore } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import { digestOf, OCI_INDEX, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { storeRegistryStorage } from "../src/registry-storage.js";
import type { StoreRegistryStorage } from "../src/registry-storage.js";
import { ask, runDaemon, temporaryDirectory } from "./fixture.js";
import type { RunningDaemon } from "./fixture.js";

interface Opened extends AsyncDisposable {
  readonly store: ImageStore;
  readonly storage: StoreRegistryStorage;
}

async function open(directory: string): Promise<Opened> {
  const store = await openImageStore(directory);
  const storage = storeRegistryStorage(store);
  return {
    store,
    storage,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

const SUBJECT = digestOf(Buffer.from("subject"));
const MANIFEST = { mediaType: OCI_MANIFEST, digest: SUBJECT, size: 7 };
const OTHER_SUBJECT = digestOf(Buffer.from("other"));

async function addDocument({ uploads }: StoreRegistryStorage, text: string): Promise<Descriptor> {
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], annotations: { text } }),
  );
  const upload = await uploads.begin("a");
  await upload.append(ReadableStream.from([bytes]), { offset: 0 });
  await upload.commit(digestOf(bytes));
  return { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length };
}

describe("storeRegistryStorage()", () => {
  it("finds referrers again after it was closed, of their repository and subject alone, until they are deleted", async () => {
    await using directory = await temporaryDirectory();
    const put: Digest[] = [];
    {
      await using opened = await open(directory.path);
      const { manifests } = opened.storage;
      for (const text of ["1", "2", "3"]) {
        const manifest = await addDocument(opened.storage, text);
        put.push(manifest.digest);
        await manifests.put("a", manifest, { subject: SUBJECT, tag: `tag-${text}` });
      }
      await manifests.put("a", await addDocument(opened.storage, "other"), { subject: OTHER_SUBJECT });
      await manifests.put("a", await addDocument(opened.storage, "none"));
      await manifests.put("a/b", await addDocument(opened.storage, "below"), { subject: SUBJECT });
    }
    put.sort();
    await using opened = await open(directory.path);
    const { manifests } = opened.storage;
    const all = { limit: 100 };
    expect(await manifests.referrers("a", SUBJECT, all)).toEqual(put);
    expect(await manifests.referrers("a", SUBJECT, { after: put[0], limit: 1 })).toEqual([put[1]]);
    expect(await manifests.referrers("b", SUBJECT, all)).toEqual([]);
    await manifests.delete("a", put[0] ?? "");
    expect(await manifests.referrers("a", SUBJECT, all)).toEqual(put.slice(1));
  });

  it("remembers the subject of a manifest that was put without one by an older daemon, once it is put again", async () => {
    await using directory = await temporaryDirectory();
    await using opened = await open(directory.path);
    const { manifests } = opened.storage;
    const manifest = await addDocument(opened.storage, "1");
    await manifests.put("a", manifest);
    await manifests.put("a", manifest, { subject: SUBJECT });
    expect(await manifests.referrers("a", SUBJECT, { limit: 10 })).toEqual([manifest.digest]);
  });

  it("gives descriptors without what it keeps in them for itself", async () => {
    await using directory = await temporaryDirectory();
    await using opened = await open(directory.path);
    const { manifests } = opened.storage;
    const manifest = await addDocument(opened.storage, "1");
    await manifests.put("a", manifest, { subject: SUBJECT, tag: "v1" });
    expect(await manifests.resolve("a", manifest.digest)).toEqual(manifest);
    expect(await manifests.resolve("a", "v1")).toEqual(manifest);
  });

  it("keeps what a subject's referrers need through garbage collection", async () => {
    await using directory = await temporaryDirectory();
    await using opened = await open(directory.path);
    const { manifests, blobs } = opened.storage;
    const manifest = await addDocument(opened.storage, "1");
    await manifests.put("a", manifest, { subject: SUBJECT });
    const loose = await addDocument(opened.storage, "loose");
    await opened.store.gc({ graceMs: 0 });
    expect(await blobs.stat("a", loose.digest)).toBeUndefined();
    expect(await manifests.referrers("a", SUBJECT, { limit: 10 })).toEqual([manifest.digest]);
    expect(await blobs.stat("a", manifest.digest)).toBe(manifest.size);
  });

  it.each([
    new ImageStoreError("no_space", "cannot name: no room"),
    new Error("cannot name", { cause: new ImageStoreError("no_space", "no room") }),
    Object.assign(new Error("cannot write"), { code: "ENOSPC" }),
  ])("is full where the store has no room for a manifest's name: %s", async (cause) => {
    await using directory = await temporaryDirectory();
    await using store = await openImageStore(directory.path);
    await using storage = storeRegistryStorage({ ...store, tag: () => Promise.reject(cause) });
    await expect(storage.manifests.put("app", MANIFEST, { tag: "v1" })).rejects.toMatchObject({
      code: "storage_full",
      cause,
    });
  });

  it("passes on what is no want of room", async () => {
    await using directory = await temporaryDirectory();
    await using store = await openImageStore(directory.path);
    await using storage = storeRegistryStorage(store);
    await expect(storage.manifests.put("app", MANIFEST, { tag: "v1" })).rejects.toMatchObject({ code: "not_found" });
  });

  it("rejects with the reason of an aborted signal", async () => {
    await using directory = await temporaryDirectory();
    await using opened = await open(directory.path);
    const signal = AbortSignal.abort(new Error("gone"));
    const referrers = opened.storage.manifests.referrers("a", SUBJECT, { limit: 1, signal });
    await expect(referrers).rejects.toBe(signal.reason);
  });
});

/** Pushes a blob to a daemon; gives where that answers for it, and keeps it. */
async function pushBlob({ daemon, root }: RunningDaemon, bytes: Uint8Array): Promise<{ url: string; path: string }> {
  const digest = digestOf(bytes);
  const uploads = `${daemon.url}/v2/app/blobs/uploads/`;
  expect((await fetch(`${uploads}?digest=${digest}`, { method: "POST", body: bytes })).status).toBe(201);
  return { url: `${daemon.url}/v2/app/blobs/${digest}`, path: join(root, "blobs", digest.replace(":", "/")) };
}

async function openTimes(path: string): Promise<number> {
  const links = (await readdir("/proc/self/fd")).map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ""));
  return (await Promise.all(links)).filter((link) => link === path).length;
}

async function beginGet(url: string): Promise<IncomingMessage> {
  const sent = get(url, { agent: false });
  sent.on("error", () => {});
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response.pause();
}

describe("lamellad's registry", () => {
  it("sends blobs whole and in parts, byte for byte", async () => {
    await using running = await runDaemon();
    const bytes = randomBytes((3 << 20) + 4321);
    const { url } = await pushBlob(running, bytes);
    const ranges: Record<string, [number, number]> = {
      "": [0, bytes.length],
      "bytes=0-0": [0, 1],
      "bytes=1000-1999999": [1000, 2_000_000],
      "bytes=524288-1048575": [512 << 10, 1 << 20],
      "bytes=3145728-": [3 << 20, bytes.length],
      "bytes=-4322": [bytes.length - 4322, bytes.length],
    };
    for (const [range, [start, end]] of Object.entries(ranges)) {
      const response = await fetch(url, { headers: range === "" ? {} : { Range: range } });
      expect(response.headers.get("Content-Length")).toBe(`${end - start}`);
      const got = Buffer.from(await response.arrayBuffer());
      expect([range, got.equals(bytes.subarray(start, end))]).toEqual([range, true]);
    }
    const head = await fetch(url, { method: "HEAD" });
    expect([head.headers.get("Content-Length"), await head.text()]).toEqual([`${bytes.length}`, ""]);
    expect(running.errors).toEqual([]);
  });

  it("closes the blob of a client that leaves half way", async () => {
    await using running = await runDaemon();
    const { url, path } = await pushBlob(running, Buffer.alloc(24 << 20));
    const response = await beginGet(url);
    await expect.poll(() => openTimes(path)).toBe(1);
    response.destroy();
    await expect.poll(() => openTimes(path)).toBe(0);
    expect(running.errors).toEqual([]);
  });

  it("cuts the connection where a blob turns out to be short, and says why in its log", async () => {
    await using running = await runDaemon();
    const { url, path } = await pushBlob(running, Buffer.alloc(24 << 20));
    const response = await beginGet(url);
    await truncate(path, 1 << 20);
    const reading = (async () => {
      for await (const _ of response);
    })();
    await expect(reading).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(running.errors).toEqual([expect.objectContaining({ code: "store_invalid" })]);
    await expect.poll(() => openTimes(path)).toBe(0);
  });

  it("leaves nothing outside of its store and of the names that it gave, whatever the paths are", async () => {
    await using running = await runDaemon();
    const { hostname, port } = new URL(running.daemon.url);
    const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
    const names = [
      "..",
      "../..",
      "%2e%2e",
      "..%2f..",
      "a/../../b",
      "a%00b",
      "a%5c..%5cb",
      "%2fetc%2fpasswd",
      ".",
      "~root",
      "a;b",
    ];
    for (const name of names) {
      for (const [method, path] of [
        ["PUT", `/v2/${name}/manifests/v1`],
        ["PUT", `/v2/a/manifests/${name}`],
        ["POST", `/v2/${name}/blobs/uploads/`],
        ["PUT", `/v2/a/blobs/uploads/${name}?digest=${digestOf(Buffer.from(body))}`],
        ["GET", `/v2/a/blobs/${name}`],
        ["GET", `/v2/a/blobs/sha256:${name}`],
        ["GET", `/v2/${name}/../../../../../../etc/passwd`],
        ["GET", `/v2/a/referrers/${name}`],
      ] as const) {
        const options = { hostname, port, method, path, headers: { "Content-Type": OCI_INDEX } };
        const answer = await ask(options, method === "GET" ? undefined : body);
        // dots that lead up to /v2/ are resolved before anybody sees them
        const isPing = answer.status === 200 && answer.body === "{}";
        expect(isPing || [400, 404, 405].includes(answer.status ?? 0), `${method} ${path}: ${answer.body}`).toBe(true);
        expect(answer.body).not.toContain("root:");
      }
    }
    expect(await readdir(join(running.root, "ingest"))).toEqual([]);
    expect(await readdir(join(running.root, "blobs", "sha256"))).toEqual([]);
    expect(running.errors).toEqual([]);
  });

  it("names in its index what was pushed, by digest and by tag, and nothing else", async () => {
    await using running = await runDaemon();
    const subject = { mediaType: OCI_MANIFEST, digest: SUBJECT, size: 7 };
    const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], subject });
    const response = await fetch(`${running.daemon.url}/v2/team/app/manifests/v1`, {
      method: "PUT",
      body,
      headers: { "Content-Type": OCI_INDEX },
    });
    expect(response.headers.get("OCI-Subject")).toBe(SUBJECT);
    await running.daemon.stop(0);
    const index = JSON.parse(await readFile(join(running.root, "index.json"), "utf8")) as { manifests: Descriptor[] };
    const names = index.manifests.map(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"]);
    expect(names).toEqual(["lamellad/team/app:v1", `lamellad/team/app@${digestOf(Buffer.from(body))}`]);
  });
});
