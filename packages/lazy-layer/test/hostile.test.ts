/** Layers and registries that lie: no wrong byte is given out, nothing hangs. */
import { gzipSync } from "node:zlib";

import { digestOf } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { imageSource, openTestImage } from "./image-source.js";
import { madeBytes, memorySource } from "./memory-source.js";
import { openMadeLayer, readFileOf } from "./open-made-layer.js";
import { scratchDirectory } from "./scratch.js";
import { footer, LAYER_FORMS, makeLayer, type MadeLayer, type Table, type TableEntry } from "./toc-layers.js";

const directory = scratchDirectory();
const KIB = 1024;
const files = [
  { path: "a", content: madeBytes(100 * KIB, 1) },
  { path: "b", content: madeBytes(100 * KIB, 2) },
];

/** The table's entry of this name; a chunk of it, after the first. */
function entryOf(table: Table, name: string): TableEntry {
  const entry = table.entries.find((one) => one.name === name);
  if (entry === undefined) throw new Error(`no ${name}`);
  return entry;
}

async function rejection(made: MadeLayer): Promise<unknown> {
  return openMadeLayer(made, directory()).then(
    async (opened) => {
      await opened[Symbol.asyncDispose]();
      return undefined;
    },
    (error: unknown) => error,
  );
}

describe("89: a footer that points outside of the blob", () => {
  it.each([
    ["far outside", 1e12],
    ["at the footer itself", undefined],
  ])("is read as a layer without a table: %s", async (_name, offset) => {
    const good = await makeLayer("estargz", files);
    const body = good.bytes.subarray(0, good.bytes.length - 51);
    const bytes = Buffer.concat([body, footer(offset ?? body.length)]);
    const made = { ...good, bytes, annotations: {}, diffID: good.diffID };
    expect(await rejection(made)).toMatchObject({ code: "toc_missing" });
    const images = imageSource([made]);
    await using image = await openTestImage(images, directory());
    expect((await readFileOf(image.tree, "b")).equals(madeBytes(100 * KIB, 2))).toBe(true);
  });
});

describe("90: a table of over 50 MiB", () => {
  it("is refused, packed small", async () => {
    const bomb = gzipSync(Buffer.alloc(51 * 2 ** 20, 0x20));
    const bytes = Buffer.concat([bomb, footer(0)]);
    const made = { ...(await makeLayer("estargz", files)), bytes, annotations: {} };
    expect(await rejection(made)).toMatchObject({ code: "layer_limit" });
  });

  it("is refused elsewhere, before it is fetched", async () => {
    const made = await makeLayer("external TOC", files);
    const images = imageSource([made], { externalTocBytes: 60 * 2 ** 20 });
    await expect(openTestImage(images, directory())).rejects.toMatchObject({ code: "document_too_large" });
  });
});

describe("91: a table that is not the one of the annotation, or has none", () => {
  it.each(LAYER_FORMS)("is refused: %s", async (form) => {
    const made = await makeLayer(form, files);
    const other = digestOf(Buffer.from("another"));
    const annotations = Object.fromEntries(
      Object.entries(made.annotations).map(([key, value]) => [key, key.endsWith("position") ? value : other]),
    );
    expect(await rejection({ ...made, annotations })).toMatchObject({ code: "digest_mismatch" });
    await expect(openTestImage(imageSource([{ ...made, annotations }]), directory())).rejects.toMatchObject({
      code: "digest_mismatch",
    });
  });

  it("is read once as a whole without an annotation, unless that is allowed", async () => {
    const made = { ...(await makeLayer("estargz", files)), annotations: {} };
    const eager = imageSource([made]);
    {
      await using image = await openTestImage(eager, directory());
      expect((await readFileOf(image.tree, "a")).equals(madeBytes(100 * KIB, 1))).toBe(true);
    }
    expect(eager.layers[0]?.servedBytes).toBe(made.bytes.length);
    const lazy = imageSource([made]);
    await using image = await openTestImage(lazy, `${directory()}/lazy`, { allowUnvouched: true });
    expect((await readFileOf(image.tree, "a")).equals(madeBytes(100 * KIB, 1))).toBe(true);
    expect(lazy.layers[0]?.servedBytes).toBeLessThan(made.bytes.length * 0.9);
  });
});

describe("92: chunks that are missing, wrong, overlap, or leave a gap", () => {
  const chunked = { chunkSize: 30 * KIB };

  it.each(LAYER_FORMS)("a wrong one is an error, never zeros, and is fetched twice at most: %s", async (form) => {
    const made = await makeLayer(form, files, chunked);
    const offset = entryOf(made.table, "b").offset ?? 0;
    const source = memorySource(made.bytes, { annotations: made.annotations });
    source.bytes = Buffer.from(made.bytes);
    // behind the member's head
    for (let at = offset + 100; at < offset + 200; at++) source.bytes[at] = 0;
    await using opened = await openMadeLayer(made, directory(), { source });
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    await expect(readFileOf(tree, "b")).rejects.toMatchObject({ code: "chunk_mismatch" });
    expect((await readFileOf(tree, "a")).equals(madeBytes(100 * KIB, 1))).toBe(true);
    expect(
      source.requests.filter((range) => range.offset <= offset && offset < range.offset + range.length).length,
    ).toBeLessThanOrEqual(2);
    // what was wrong in the registry may be right later
    source.bytes = made.bytes;
    expect((await readFileOf(tree, "b")).equals(madeBytes(100 * KIB, 2))).toBe(true);
  });

  it.each(LAYER_FORMS)("one whose digest the table has wrong is an error: %s", async (form) => {
    const made = await makeLayer(form, files, {
      edit: (table) => {
        entryOf(table, "b")["chunkDigest"] = digestOf(Buffer.from("another"));
      },
    });
    await using opened = await openMadeLayer(made, directory());
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    await expect(readFileOf(tree, "b")).rejects.toMatchObject({ code: "chunk_mismatch" });
  });

  it.each(["missing", "a gap", "an overlap", "too long", "outside", "without a digest"])(
    "a table with one that is %s is refused",
    async (fault) => {
      const made = await makeLayer("estargz", files, {
        ...chunked,
        edit: (table) => {
          const at = table.entries.findIndex(({ name }) => name === "b") + 1;
          const chunk = table.entries[at];
          if (chunk === undefined || chunk.type !== "chunk") throw new Error("no chunk");
          if (fault === "missing") table.entries.splice(at, 1);
          if (fault === "a gap") chunk["chunkOffset"] = Number(chunk["chunkOffset"]) + 1;
          if (fault === "an overlap") chunk["chunkOffset"] = Number(chunk["chunkOffset"]) - 1;
          if (fault === "too long") chunk["chunkSize"] = 1e6;
          if (fault === "outside") chunk.offset = 1e9;
          if (fault === "without a digest") delete chunk["chunkDigest"];
        },
      });
      expect(await rejection(made)).toMatchObject({ code: "toc_invalid" });
    },
  );

  it("members that hold less than the table says are an error", async () => {
    const made = await makeLayer("estargz", files, {
      edit: (table) => {
        // both files in the place of the second
        entryOf(table, "b")["innerOffset"] = 90 * KIB;
      },
    });
    await using opened = await openMadeLayer(made, directory());
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    await expect(readFileOf(tree, "b")).rejects.toMatchObject({ code: "chunk_mismatch" });
  });
});

describe("93: a table with a way upwards, a name twice, a hard link to nothing", () => {
  const faults: Readonly<Record<string, (table: Table) => void>> = {
    "a way upwards": (table) => void (entryOf(table, "b").name = "../b"),
    "a name twice": (table) => void (entryOf(table, "b").name = "a"),
    "a hard link to nothing": (table) => void table.entries.push({ name: "c", type: "hardlink", linkName: "nothing" }),
  };
  it.each(Object.keys(faults))("%s is refused", async (fault) => {
    for (const form of LAYER_FORMS) {
      const made = await makeLayer(form, files, { edit: faults[fault] ?? (() => {}) });
      expect(await rejection(made)).toMatchObject({ code: "toc_invalid" });
    }
  });
});

describe("94: a table that says something else than the tar", () => {
  const lies: Readonly<Record<string, (table: Table) => void>> = {
    "another mode": (table) => void (entryOf(table, "b")["mode"] = 0o4777),
    "a file less": (table) => void table.entries.splice(table.entries.indexOf(entryOf(table, "b")), 1),
    "a file more": (table) => void table.entries.push({ name: "c", type: "symlink", linkName: "/etc/shadow" }),
  };
  it.each(Object.keys(lies))("is found when the layer was read whole: %s", async (lie) => {
    for (const form of LAYER_FORMS) {
      const made = await makeLayer(form, files, { edit: lies[lie] ?? (() => {}) });
      await using opened = await openMadeLayer(made, directory());
      const push = (): Promise<void> => Promise.reject(new Error("it must not be pushed"));
      await expect(opened.layer.complete({ push })).rejects.toMatchObject({ code: "toc_mismatch" });
    }
  });
});

describe("95: a registry that hangs or answers 401 midway", () => {
  it("makes reads fail in bounded time; closing works at once", async () => {
    const images = imageSource([await makeLayer("estargz", files)]);
    const image = await openTestImage(images, directory(), { timeoutMs: 200 });
    const [layer] = images.layers;
    if (layer === undefined) throw new Error("no layer");
    layer.before = (_range, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const started = performance.now();
    await expect(readFileOf(image.tree, "a")).rejects.toMatchObject({ code: "timeout" });
    const hanging = readFileOf(image.tree, "b");
    hanging.catch(() => {});
    await image[Symbol.asyncDispose]();
    await expect(hanging).rejects.toThrow("closed");
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("makes reads fail with what the registry said, and go on when it lets us in again", async () => {
    const images = imageSource([await makeLayer("estargz", files)]);
    await using image = await openTestImage(images, directory());
    const [layer] = images.layers;
    if (layer === undefined) throw new Error("no layer");
    layer.before = () => Promise.reject(Object.assign(new Error("401"), { code: "unauthorized" }));
    await expect(readFileOf(image.tree, "a")).rejects.toMatchObject({
      code: "unavailable",
      cause: expect.objectContaining({ code: "unauthorized" }),
    });
    layer.before = () => Promise.resolve();
    expect((await readFileOf(image.tree, "a")).equals(madeBytes(100 * KIB, 1))).toBe(true);
  });
});
