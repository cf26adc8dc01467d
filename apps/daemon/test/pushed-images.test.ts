import { createImageManager, openImageStore } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import { copyImage, createRegistryClient } from "@lamella/oci-client";
import { OCI_CONFIG, OCI_EMPTY, OCI_MANIFEST, parseReference } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { ImageDocument } from "../src/api/image-document.js";
import { openApi } from "../src/api/open-api-service.js";
import { createOpenImages } from "../src/open-images.js";
import { storeRegistryStorage } from "../src/registry-storage.js";
import { runDaemon, temporaryDirectory } from "./fixture.js";
import type { RunningDaemon, TemporaryDirectory } from "./fixture.js";
import { add, addImage, addIndex, addJson, PLATFORM } from "./sample-images.js";

let directory: TemporaryDirectory;
let source: ImageStore;
let running: RunningDaemon;
const client = createRegistryClient();
beforeEach(async () => {
  directory = await temporaryDirectory();
  source = await openImageStore(directory.path);
  running = await runDaemon(undefined, { defaults: { platform: PLATFORM, disk: { format: "erofs" } } });
});
afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await source[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

async function push(descriptor: Descriptor, name: string): Promise<void> {
  const local = `local/${name}`;
  await source.tag(local, descriptor);
  const reference = parseReference(`${new URL(running.daemon.url).host}/${name}`);
  const to = { images: client.repository(reference), name: reference.tag! };
  await copyImage({ images: source, name: local }, to, { foreignLayers: "copy" });
}

async function api(path: string, init?: RequestInit): Promise<Response> {
  return fetch(running.daemon.url + path, init);
}

const pathOf = (name: string, query = ""): string => `/images/${encodeURIComponent(name)}${query}`;

async function image(name: string): Promise<ImageDocument> {
  return (await (await api(pathOf(name, "?wait=30"))).json()) as ImageDocument;
}

async function images(): Promise<string[]> {
  const found = (await (await api("/images")).json()) as ImageDocument[];
  return found.map(({ name, status }) => `${name} ${status}`);
}

describe("what is pushed to lamellad", () => {
  it.each([
    ["an OCI image", () => addImage(source, { run: { Cmd: ["/a"] } })],
    ["a Docker image", () => addImage(source, { run: { Cmd: ["/a"] }, docker: true })],
    [
      "an index",
      async () => {
        const foreign = {
          ...(await addImage(source, { architecture: "s390x" })),
          platform: { os: "linux", architecture: "s390x" },
        };
        const own = { ...(await addImage(source, { run: { Cmd: ["/a"] } })), platform: PLATFORM };
        return addIndex(source, [foreign, own]);
      },
    ],
  ])("becomes an image with a disk: %s", async (_, make) => {
    const descriptor = await make();
    await push(descriptor, "team/app:v1");
    // it is there as soon as the push is over
    expect((await api(pathOf("localhost/team/app:v1"))).status).toBe(200);
    expect(await image("localhost/team/app:v1")).toMatchObject({
      name: "localhost/team/app:v1",
      digest: descriptor.digest,
      status: "ready",
      format: "erofs",
      cmd: ["/a"],
      disks: [{ format: "erofs" }],
    });
    expect(running.errors).toEqual([]);
  });

  it("stays what it is if it is no image: an artifact, a signature, an index of those, something by digest alone", async () => {
    const empty = await add(source, OCI_EMPTY, Buffer.from("{}"));
    const blob = await add(source, "application/x-chart", Buffer.from("chart"));
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST };
    const artifact = await addJson(source, OCI_MANIFEST, {
      ...manifest,
      artifactType: "application/x",
      config: empty,
      layers: [blob],
    });
    const config = await addJson(source, OCI_CONFIG, {
      os: "",
      architecture: "",
      rootfs: { type: "layers", diff_ids: [] },
    });
    const signature = await addJson(source, OCI_MANIFEST, { ...manifest, config, layers: [blob] });
    await push(artifact, "chart:1");
    await push(signature, "app:sha256-0.sig");
    await push(await addIndex(source, [artifact, signature]), "all:1");
    await push(await addIndex(source, []), "none:1");
    expect(await images()).toEqual([]);
    expect(running.errors).toEqual([]);
    const tags = (await (await api("/v2/chart/tags/list")).json()) as object;
    expect(tags).toEqual({ name: "chart", tags: ["1"] });
  });

  it("is built again when its tag is pushed with another image, and not when it is pushed with the same", async () => {
    const [one, other] = [await addImage(source, { layers: ["one"] }), await addImage(source, { layers: ["other"] })];
    await push(one, "app:v1");
    const first = await image("localhost/app:v1");
    await push(one, "app:v1");
    expect(await image("localhost/app:v1")).toEqual(first);
    await push(other, "app:v1");
    const second = await image("localhost/app:v1");
    expect(second).toMatchObject({ digest: other.digest, status: "ready" });
    expect(second.disks[0]?.key).not.toBe(first.disks[0]?.key);
    await push(one, "app:v1");
    expect((await image("localhost/app:v1")).digest).toBe(one.digest);
  });

  it("is the last that was pushed, also when the one before is still being built", async () => {
    const pushed: Descriptor[] = [];
    for (const text of ["1", "2", "3", "4"]) pushed.push(await addImage(source, { layers: [text] }));
    for (const each of pushed) await push(each, "app:v1");
    expect(await image("localhost/app:v1")).toMatchObject({ digest: pushed.at(-1)?.digest, status: "ready" });
    await expect.poll(async () => (await images()).filter((each) => each.endsWith("ing"))).toEqual([]);
    expect((await images()).filter((each) => each.endsWith("failed"))).toEqual([]);
    expect(running.errors).toEqual([]);
  });

  it("is failed where it cannot be built, and pushed all the same", async () => {
    const foreign = {
      ...(await addImage(source, { architecture: "s390x" })),
      platform: { os: "linux", architecture: "s390x" },
    };
    await push(await addIndex(source, [foreign]), "app:v1");
    expect(await image("localhost/app:v1")).toMatchObject({ status: "failed", error_code: "platform_unavailable" });
    expect((await api("/v2/app/manifests/v1")).status).toBe(200);
  });

  it("is pushed also where it cannot be asked for, and that is told", async () => {
    const descriptor = await addImage(source);
    const failure = new Error("no more images today");
    const errors: unknown[] = [];
    const manager = { ...(await createImageManager(source, { sources: () => Promise.reject(failure) })) };
    manager.importLocalImage = () => Promise.reject(failure);
    const service = openApi(source, manager, {
      defaults: { platform: PLATFORM, disk: { format: "erofs" } },
      openImages: createOpenImages(source, { onError: (error) => errors.push(error) }),
      openSnapshots: () => Promise.reject(failure),
      stopping: new AbortController().signal,
      version: "1.2.3",
      onError: (error) => errors.push(error),
    });
    await using storage = storeRegistryStorage(source, { onTag: service.tagged });
    await storage.manifests.put("app", descriptor, { tag: "v1" });
    expect(await storage.manifests.resolve("app", "v1")).toMatchObject({ digest: descriptor.digest });
    expect(errors).toEqual([failure]);
    await service[Symbol.asyncDispose]();
    await manager[Symbol.asyncDispose]();
  });
});

describe("an image of the registry that is deleted", () => {
  const remove = async (name: string): Promise<number> => (await api(pathOf(name), { method: "DELETE" })).status;
  const tagsOf = async (repository: string): Promise<unknown> => {
    const response = await api(`/v2/${repository}/tags/list`);
    return response.status === 404 ? undefined : ((await response.json()) as { tags: unknown }).tags;
  };

  it("takes its tag along, and what only that led to, so that nothing is left of it", async () => {
    const own = { ...(await addImage(source, { layers: ["own"] })), platform: PLATFORM };
    const shared = await addImage(source, { layers: ["shared"] });
    const index = await addIndex(source, [own, { ...shared, platform: { os: "linux", architecture: "s390x" } }]);
    await push(index, "app:v1");
    await push(shared, "app:v2");
    await push(index, "other:v1");
    for (const name of ["app:v1", "app:v2", "other:v1"]) await image(`localhost/${name}`);

    expect(await remove("localhost/app:v1")).toBe(204);
    expect(await tagsOf("app")).toEqual(["v2"]);
    const statusOf = async (path: string): Promise<number> => (await api(path)).status;
    expect(await statusOf(`/v2/app/manifests/${index.digest}`)).toBe(404);
    expect(await statusOf(`/v2/app/manifests/${own.digest}`)).toBe(404);
    expect(await statusOf(`/v2/app/manifests/${shared.digest}`)).toBe(200);
    expect(await statusOf(`/v2/other/manifests/${own.digest}`)).toBe(200);

    expect(await remove("localhost/app:v2")).toBe(204);
    expect(await remove("localhost/other:v1")).toBe(204);
    expect([await tagsOf("app"), await tagsOf("other")]).toEqual([undefined, undefined]);
    await running.daemon.stop(0);
    await using store = await openImageStore(running.root);
    await store.gc({ graceMs: 0 });
    const left: string[] = [];
    for await (const digest of store.content.blobs()) left.push(digest);
    expect(left).toEqual([]);
  });

  it("takes no tag along if it only has such a name", async () => {
    const descriptor = await addImage(source);
    await push(descriptor, "app:v1");
    await image("localhost/app:v1");
    const headers = { "Content-Type": "application/json" };
    for (const name of ["mine:1", "localhost:5000/app:v1", "localhost/app2:v1"]) {
      const body = JSON.stringify({ name, from: "localhost/app:v1" });
      expect((await api("/images?wait=30", { method: "POST", body, headers })).status).toBe(202);
      expect(await remove(name)).toBe(204);
    }
    expect(await tagsOf("app")).toEqual(["v1"]);
  });
});
