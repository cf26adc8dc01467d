import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";

import { resolvePath } from "@lamella/layer-format";
import { writeLayer } from "@lamella/layer-format/node";
import { type Digest, digestOf, RefsError } from "@lamella/refs";
import { describe, expect, it, onTestFinished } from "vitest";

import { type Applier, chainIDs, type Snapshotter } from "../src/index.js";
import { applyLayer, applyLayers, createApplier, createSnapshotter, createTreeDriver } from "../src/node/index.js";
import { layerTar } from "../src/conformance/layer-tar.js";
import { memoryContent, putLayers } from "./image-layers.js";
import { temporaryDirectory } from "./temporary.js";

const SPECS = [
  [
    { path: "a", content: "one" },
    { path: "b", content: "one" },
  ],
  [{ path: "a", content: "two" }],
  [
    { path: "b", kind: "whiteout" },
    { path: "c", content: "three" },
  ],
] as const;

async function openSnapshotter(directory?: string): Promise<Snapshotter> {
  const snapshotter = await createSnapshotter(directory ?? (await temporaryDirectory()), createTreeDriver());
  onTestFinished(() => snapshotter[Symbol.asyncDispose]());
  return snapshotter;
}

async function names(snapshotter: Snapshotter): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of snapshotter.walk()) found.push(name);
  return found.toSorted();
}

async function paths(snapshotter: Snapshotter, name: string): Promise<string[]> {
  await using tree = await snapshotter.openTree(name);
  const found: string[] = [];
  for await (const { path } of tree.entries()) found.push(path);
  return found;
}

describe("applyLayers()", () => {
  it("commits the chain of an image and gives its chain ID", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const ids = chainIDs(layers.map(({ diffID }) => diffID));
    const options = { temporaryDirectory: await temporaryDirectory(), labels: { of: "an image" } };

    const top = await applyLayers(layers, snapshotter, createApplier(content), options);

    expect(top).toBe(ids[2]);
    expect(await names(snapshotter)).toEqual(ids.toSorted());
    expect(await snapshotter.stat(top)).toMatchObject({
      kind: "committed",
      parent: ids[1],
      labels: { of: "an image" },
    });
    expect(await paths(snapshotter, top)).toEqual(["", "a", "c"]);
    expect(await readdir(options.temporaryDirectory)).toEqual([]);
  });

  it("fetches nothing when the chain is there, and only what is missing else", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    await applyLayers(layers.slice(0, 2), snapshotter, createApplier(content));
    content.fetched.length = 0;

    await applyLayers(layers, snapshotter, createApplier(content));
    await applyLayers(layers, snapshotter, createApplier(content));

    expect(content.fetched).toEqual([layers[2]?.descriptor.digest]);
  });

  it("unpacks the same layer once for each place that it has", async () => {
    const content = memoryContent();
    const [layer] = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const top = await applyLayers([layer!, layer!, layer!], snapshotter, createApplier(content));
    expect(top).toBe(chainIDs([layer!.diffID, layer!.diffID, layer!.diffID])[2]);
  });

  it("unpacks once when it is called several times at once", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const directory = await temporaryDirectory();
    const snapshotters = await Promise.all(Array.from({ length: 4 }, () => openSnapshotter(directory)));
    const applying = snapshotters.map((snapshotter) => applyLayers(layers, snapshotter, createApplier(content)));
    expect(new Set(await Promise.all(applying)).size).toBe(1);
    expect(content.fetched.toSorted()).toEqual(layers.map(({ descriptor }) => descriptor.digest).toSorted());
  });

  it("shares what two images have in common when they come at once", async () => {
    const content = memoryContent();
    const [base, one, other] = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const applier = createApplier(content);
    await Promise.all([
      applyLayers([base!, one!, other!], snapshotter, applier),
      applyLayers([base!, one!], snapshotter, applier),
      applyLayers([base!, other!], snapshotter, applier),
    ]);
    expect(content.fetched.filter((digest) => digest === base!.descriptor.digest)).toHaveLength(1);
  });

  it("indexes as many layers at once as it is told, and commits them in order", async () => {
    const content = memoryContent();
    const layers = await putLayers(
      content,
      Array.from({ length: 6 }, (_, index) => [{ path: `file-${index}`, content: "x" }]),
    );
    const plain = createApplier(content);
    let running = 0;
    let most = 0;
    const slow: Applier = {
      async *open(descriptor, options) {
        most = Math.max(most, ++running);
        // The first is the last to come.
        await new Promise((resolve) => setTimeout(resolve, descriptor === layers[0]!.descriptor ? 60 : 15));
        yield* plain.open(descriptor, options);
        running--;
      },
    };
    const snapshotter = await openSnapshotter();
    const top = await applyLayers(layers, snapshotter, slow, { concurrency: 2 });
    expect(most).toBe(2);
    expect(await paths(snapshotter, top)).toHaveLength(7);
  });

  it("takes archives that are there instead of fetching", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const archives = await temporaryDirectory();
    const applier: Applier = {
      ...createApplier(content),
      async archive(diffID) {
        const index = layers.findIndex((layer) => layer.diffID === diffID);
        const directory = join(archives, String(index));
        await writeLayer(directory, once(await layerTar(SPECS[index]!)), { diffID });
        return directory;
      },
    };
    const snapshotter = await openSnapshotter();
    const top = await applyLayers(layers, snapshotter, applier);
    expect(content.fetched).toEqual([]);
    expect(await paths(snapshotter, top)).toEqual(["", "a", "c"]);
    // They are the caller's, and still there.
    expect((await readdir(archives)).toSorted()).toEqual(["0", "1", "2"]);
  });

  it("keeps the layers below one that is bad, and nothing of that", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const wrong = digestOf(Uint8Array.of(1));
    const bad = [layers[0]!, { ...layers[1]!, diffID: wrong }, layers[2]!];
    const snapshotter = await openSnapshotter();
    const temporary = await temporaryDirectory();
    const applying = applyLayers(bad, snapshotter, createApplier(content), { temporaryDirectory: temporary });
    await expect(applying).rejects.toMatchObject({ code: "digest_mismatch" });
    for (const name of await names(snapshotter)) expect(name).toBe(layers[0]!.diffID);
    expect(await readdir(temporary)).toEqual([]);

    await applyLayers(layers, snapshotter, createApplier(content));
  });

  it("stops the other layers when one fails, and says why that one did", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const failure = new RefsError("digest_mismatch", "broken");
    let stopped = 0;
    const applier: Applier = {
      async *open(descriptor, options) {
        if (descriptor === layers[1]!.descriptor) throw failure;
        await new Promise<void>((resolve) => options?.signal?.addEventListener("abort", () => resolve()));
        stopped++;
        options?.signal?.throwIfAborted();
        yield new Uint8Array();
      },
    };
    await expect(applyLayers(layers, await openSnapshotter(), applier)).rejects.toBe(failure);
    expect(stopped).toBe(2);
  });

  it("refuses an empty chain", async () => {
    const applying = applyLayers([], await openSnapshotter(), createApplier(memoryContent()));
    await expect(applying).rejects.toMatchObject({ code: "invalid_argument" });
  });

  it("stops when it is told to, before and on the way", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const enough = new Error("enough");
    const signal = AbortSignal.abort(enough);
    await expect(applyLayers(layers, snapshotter, createApplier(content), { signal })).rejects.toBe(enough);
    const controller = new AbortController();
    const applier: Applier = {
      async *open(_, options) {
        controller.abort(enough);
        options?.signal?.throwIfAborted();
        yield new Uint8Array();
      },
    };
    const applying = applyLayers(layers, snapshotter, applier, { signal: controller.signal });
    await expect(applying).rejects.toBe(enough);
    expect(await names(snapshotter)).toEqual([]);
  });

  it("removes what killed processes were unpacking into, and where they kept layers", async () => {
    const content = memoryContent();
    const layers = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const temporary = await temporaryDirectory();
    const dead = "no-such-boot:1.2:1:1";
    const labels = { "lamella/owner": dead };
    await snapshotter.prepare("extract-1-abcd left over", undefined, { labels });
    await snapshotter.prepare("somebody's");
    await mkdir(join(temporary, `lamella-snapshot-${dead}-abcdef`));
    const top = await applyLayers(layers.slice(0, 1), snapshotter, createApplier(content), {
      temporaryDirectory: temporary,
    });
    expect(await names(snapshotter)).toEqual([top, "somebody's"].toSorted());
    expect(await readdir(temporary)).toEqual([]);
  });
});

describe("applyLayer()", () => {
  it("says whether it unpacked", async () => {
    const content = memoryContent();
    const [base, upper] = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const applier = createApplier(content);
    expect(await applyLayer(base!, [], snapshotter, applier)).toBe(true);
    expect(await applyLayer(base!, [], snapshotter, applier)).toBe(false);
    expect(await applyLayer(upper!, [base!.diffID], snapshotter, applier)).toBe(true);
    const top = chainIDs([base!.diffID, upper!.diffID])[1] as Digest;
    await using tree = await snapshotter.openTree(top);
    expect((await resolvePath(tree, "a"))?.size).toBe(3);
    expect(content.fetched).toHaveLength(2);
  });

  it("needs the layers below", async () => {
    const content = memoryContent();
    const [base, upper] = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const applying = applyLayer(upper!, [base!.diffID], snapshotter, createApplier(content));
    await expect(applying).rejects.toMatchObject({ code: "not_found" });
    expect(await names(snapshotter)).toEqual([]);
  });

  it("leaves nothing of a layer that is not what it should be", async () => {
    const content = memoryContent();
    const [layer] = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const wrong = { ...layer!, diffID: digestOf(Uint8Array.of(1)) };
    const applying = applyLayer(wrong, [], snapshotter, createApplier(content));
    await expect(applying).rejects.toMatchObject({ code: "digest_mismatch" });
    expect(await names(snapshotter)).toEqual([]);
  });

  it("takes a snapshot that somebody else commits meanwhile for its own", async () => {
    const content = memoryContent();
    const [layer] = await putLayers(content, SPECS);
    const snapshotter = await openSnapshotter();
    const plain = createApplier(content);
    const applier: Applier = {
      async *open(descriptor, options) {
        yield* plain.open(descriptor, options);
        await snapshotter.prepare("a program without claims");
        await snapshotter.commit(layer!.diffID, "a program without claims");
      },
    };
    expect(await applyLayer(layer!, [], snapshotter, applier)).toBe(false);
    expect(await names(snapshotter)).toEqual([layer!.diffID]);
  });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
