import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { digestOf } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { mergeLayers } from "../src/merge/merge.js";
import { openTarLayer } from "../src/node/blob/tar-layer.js";
import { packTar } from "./packed-tar.js";
import { header } from "./tar-builder.js";

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

describe("openTarLayer()", () => {
  let directory = "";
  let path = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lamella-tar-layer-"));
    path = join(directory, "layer.tar");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("says where in the tar each file's data lies, after headers of any length", async () => {
    const name = "long/".repeat(60);
    const contents = ["", "one", "two".repeat(1000), "x".repeat(512)];
    const tar = await packTar(contents.map((content, index) => ({ name: `${name}${index}`, content })));
    await writeFile(path, tar);
    await using layer = await openTarLayer(path);
    expect(layer).toMatchObject({ diffID: digestOf(tar), sizeBytes: tar.length });
    expect(layer.entries).toHaveLength(contents.length);
    for (const [index, { contentOffset, size }] of layer.entries.entries()) {
      expect(contentOffset % 512).toBe(0);
      expect(tar.toString("latin1", contentOffset, contentOffset + size)).toBe(contents[index]);
    }
  });

  it("says where the data of a sparse file begins, behind its map", async () => {
    const map = "2\n0\n512\n2048\n512\n";
    const body = Buffer.concat([Buffer.from(map.padEnd(512, "\0")), Buffer.alloc(512, "a"), Buffer.alloc(512, "b")]);
    const tar = await packTar([
      {
        name: "file",
        content: body,
        pax: {
          "GNU.sparse.major": "1",
          "GNU.sparse.minor": "0",
          "GNU.sparse.name": "file",
          "GNU.sparse.realsize": "2560",
        },
      },
    ]);
    await writeFile(path, tar);
    await using tree = await mergeLayers([await openTarLayer(path)]);
    const entry = (await tree.lookup("file"))!;
    expect(tar[tree.origin(entry)!.entry.contentOffset]).toBe("a".charCodeAt(0));
    const bytes = await collect(tree.read(entry));
    expect(bytes.equals(Buffer.concat([Buffer.alloc(512, "a"), Buffer.alloc(1536), Buffer.alloc(512, "b")]))).toBe(
      true,
    );
  });

  it("refuses what the strict reader refuses, and a tar that is not there", async () => {
    await writeFile(path, header({ name: "file", size: 600 }));
    await expect(openTarLayer(path)).rejects.toMatchObject({ code: "tar_invalid" });
    await expect(openTarLayer(join(directory, "none"))).rejects.toMatchObject({ code: "archive_invalid" });
  });

  it("rejects with a signal's reason", async () => {
    const reason = new Error("enough");
    await expect(openTarLayer(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("origin()", () => {
  it("tells the layer that brought a file, also through another layer's link; nothing of a directory", async () => {
    const tars = await Promise.all([
      packTar([{ name: "d/a", content: "1" }]),
      packTar([
        { name: "b", type: "link", linkname: "d/a" },
        { name: "c", content: "2" },
      ]),
    ]);
    const directory = await mkdtemp(join(tmpdir(), "lamella-origin-"));
    try {
      const paths = tars.map((_, index) => join(directory, String(index)));
      for (const [index, tar] of tars.entries()) await writeFile(paths[index]!, tar);
      await using tree = await mergeLayers(await Promise.all(paths.map((path) => openTarLayer(path))));
      const origins: Record<string, unknown> = {};
      for await (const entry of tree.entries()) {
        const origin = tree.origin(entry);
        origins[entry.path] = origin && [origin.layer, origin.entry.path];
      }
      expect(origins).toEqual({ "": undefined, b: [0, "d/a"], c: [1, "c"], d: undefined, "d/a": [0, "d/a"] });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
