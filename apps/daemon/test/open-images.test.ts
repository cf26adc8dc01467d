import { setTimeout as sleep } from "node:timers/promises";

import type { StoredImage } from "@lamella/image-store";
import { describe, expect, it } from "vitest";

import { leasesOf, pushImage, serveStore } from "./store-fixture.js";
import type { ServedStore } from "./store-fixture.js";

async function imagesOf({ store }: ServedStore, count: number): Promise<StoredImage[]> {
  const images: StoredImage[] = [];
  for (let index = 0; index < count; index++) {
    const { digest } = await pushImage(store, `docker.io/library/app:${index}`, [[{ path: "file", text: `${index}` }]]);
    images.push(await store.get(digest));
  }
  return images;
}

describe("createOpenImages()", () => {
  it("keeps as many open as it may, and closes the one that was asked for longest ago", async () => {
    await using served = await serveStore({ limit: 2 });
    const { openImages } = served.context;
    const images = await imagesOf(served, 3);
    for (const image of [images[0]!, images[1]!, images[0]!, images[2]!])
      await (await openImages.open(image))[Symbol.asyncDispose]();
    expect([openImages.size, openImages.inUse]).toEqual([2, 0]);
    while ((await leasesOf(served.store)).length > 2) await sleep(5);
    expect(await leasesOf(served.store)).toEqual(
      [images[0]!, images[2]!].map(({ manifestDigest }) => `look into ${manifestDigest}`).toSorted(),
    );
  });

  it("refuses one more than may be in use at once, and gives several the same", async () => {
    await using served = await serveStore({ limit: 1 });
    const { openImages } = served.context;
    const [one, other] = await imagesOf(served, 2);
    const [first, second] = await Promise.all([openImages.open(one!), openImages.open(one!)]);
    expect(first.history).toBe(second.history);
    await first[Symbol.asyncDispose]();
    // giving back twice counts once
    await first[Symbol.asyncDispose]();
    await expect(openImages.open(other!)).rejects.toMatchObject({ code: "busy" });
    expect(await first.history.list("")).toHaveLength(1);
    await second[Symbol.asyncDispose]();
    await using third = await openImages.open(other!);
    expect(await third.history.list("")).toHaveLength(1);
  });

  it("keeps no more layers open than it may, but for one image alone", async () => {
    await using served = await serveStore({ layerLimit: 2 });
    const { openImages } = served.context;
    const { store } = served;
    const files = ["a", "b", "c"].map((path) => [{ path, text: path }]);
    const { digest } = await pushImage(store, "docker.io/library/large:1", files);
    const [small, other] = await imagesOf(served, 2);
    for (const image of [small!, other!]) await (await openImages.open(image))[Symbol.asyncDispose]();
    expect(openImages.size).toBe(2);
    await using large = await openImages.open(await store.get(digest));
    expect(openImages.size).toBe(1);
    expect(await large.history.list("")).toHaveLength(3);
    await expect(openImages.open(small!)).rejects.toMatchObject({ code: "busy" });
  });

  it("closes what nobody has asked for for a while, and its lease", async () => {
    await using served = await serveStore({ idleMs: 20 });
    const { openImages } = served.context;
    const [image] = await imagesOf(served, 1);
    const held = await openImages.open(image!);
    await sleep(60);
    expect(openImages.size).toBe(1);
    await held[Symbol.asyncDispose]();
    while ((await leasesOf(served.store)).length > 0) await sleep(5);
    expect(openImages.size).toBe(0);
    await expect(held.history.list("")).rejects.toThrow("closed");
  });

  it("closes everything in the end, and opens nothing then", async () => {
    await using served = await serveStore();
    const { openImages } = served.context;
    const [image] = await imagesOf(served, 1);
    const held = await openImages.open(image!);
    await openImages[Symbol.asyncDispose]();
    expect(await leasesOf(served.store)).toEqual([]);
    await expect(held.history.list("")).rejects.toThrow("closed");
    await held[Symbol.asyncDispose]();
    await expect(openImages.open(image!)).rejects.toMatchObject({ code: "stopping" });
  });

  it("holds nothing of what could not be opened, or was asked for in vain", async () => {
    await using served = await serveStore();
    const { openImages } = served.context;
    const [image] = await imagesOf(served, 1);
    const reason = new Error("gone");
    await expect(openImages.open(image!, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(openImages.size).toBe(0);
    await served.store.content.remove(image!.layers[0]!.descriptor.digest);
    await expect(openImages.open(image!)).rejects.toMatchObject({ code: "not_found" });
    while (openImages.size > 0 || (await leasesOf(served.store)).length > 0) await sleep(5);
  });

  it("lets one go on waiting when another that waits for the same is gone", async () => {
    await using served = await serveStore();
    const { openImages } = served.context;
    const [image] = await imagesOf(served, 1);
    const gone = new AbortController();
    const left = openImages.open(image!, { signal: gone.signal });
    const staying = openImages.open(image!);
    gone.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    await using held = await staying;
    expect(await held.history.list("")).toHaveLength(1);
    expect(openImages.inUse).toBe(1);
  });
});
