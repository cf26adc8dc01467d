import { zstdCompressSync } from "./zstd-store.js";
import { gzipSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { openTocLayer } from "../src/node/toc/chunk-source.js";
import { readToc } from "../src/node/toc/reader.js";
import { archive, file } from "./tar-builder.js";
import { memoryBlob, type MemoryBlob, sha256, stargzBlob, stargzFooter } from "./toc-blob.js";
import { bytesOf } from "./tree-listing.js";

const HELLO = Buffer.from("hello");
const hello = { name: "hello", type: "reg", size: 5, mode: 0o644, offset: 0, chunkDigest: sha256(HELLO) };
const toc = { version: 1, entries: [{ name: "dir/", type: "dir", mode: 0o755 }, hello] };

const read = (blob: MemoryBlob, options?: Parameters<typeof readToc>[2]): ReturnType<typeof readToc> =>
  readToc(blob, blob.descriptor, options);

async function contents(blob: MemoryBlob): Promise<string> {
  const table = await read(blob);
  if (table === undefined) throw new Error("no table");
  await using layer = openTocLayer(blob, blob.descriptor, table, { diffID: blob.descriptor.digest });
  return (await bytesOf(layer.readContents(0, table.contentsBytes))).toString();
}

describe("readToc()", () => {
  it("reads the table of an eStargz layer with one request where it is small", async () => {
    const blob = stargzBlob(toc, { data: [HELLO] });
    const table = await read(blob);
    expect(table).toMatchObject({ format: "estargz", isVouchedFor: true, contentsBytes: 5 });
    expect(table?.entries.map(({ kind, path, mode }) => [kind, path, mode])).toEqual([
      ["directory", "dir", 0o755],
      ["file", "hello", 0o644],
    ]);
    expect(blob.requests).toHaveLength(1);
    expect(await contents(blob)).toBe("hello");
  });

  it("reads the footer of stargz, which has no subfield", async () => {
    const footer = (offset: number): Buffer =>
      Buffer.concat([
        Buffer.from("1f8b08040000000000ff1600", "hex"),
        Buffer.from(`${offset.toString(16).padStart(16, "0")}STARGZ`),
        Buffer.from("010000ffff0000000000000000", "hex"),
      ]);
    expect(await contents(stargzBlob(toc, { data: [HELLO], footer }))).toBe("hello");
  });

  it("takes a packed table in several members, and refuses one that something follows or that ends early", async () => {
    const json = Buffer.from(JSON.stringify(toc));
    const tar = archive(file("stargz.index.json", json.toString()));
    const footer = Buffer.from(
      "1f8b08040000000000ff15005347110053544152475a45585445524e414c544f43010000ffff0000000000000000",
      "hex",
    );
    const blob = memoryBlob(Buffer.concat([gzipSync(HELLO), footer]), {});
    const members = Buffer.concat([gzipSync(tar.subarray(0, 600)), gzipSync(tar.subarray(600))]);
    expect(await read(blob, { externalToc: members })).toMatchObject({ digest: sha256(json), contentsBytes: 5 });
    const wrong = [Buffer.concat([gzipSync(tar), Buffer.from("more")]), gzipSync(tar).subarray(0, -9)];
    for (const externalToc of wrong)
      await expect(read(blob, { externalToc })).rejects.toMatchObject({ code: "compression_invalid" });
  });

  it("reads a table that is elsewhere, if it is given", async () => {
    const json = JSON.stringify(toc);
    const footer = Buffer.from(
      "1f8b08040000000000ff15005347110053544152475a45585445524e414c544f43010000ffff0000000000000000",
      "hex",
    );
    const blob = memoryBlob(Buffer.concat([gzipSync(HELLO), footer]), {
      "containerd.io/snapshot/stargz/toc.digest": sha256(json),
    });
    expect(await read(blob)).toBeUndefined();
    const externalToc = gzipSync(archive(file("stargz.index.json", json)));
    expect(await read(blob, { externalToc })).toMatchObject({ isVouchedFor: true, contentsBytes: 5 });
    const other = gzipSync(archive(file("stargz.index.json", `${json} `)));
    await expect(read(blob, { externalToc: other })).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it("says when no annotation vouches for the table", async () => {
    const { descriptor, ...blob } = stargzBlob(toc, { data: [HELLO] });
    expect(await readToc(blob, { ...descriptor, annotations: {} })).toMatchObject({ isVouchedFor: false });
  });

  it("refuses a table that is not the one the annotation promises", async () => {
    const { descriptor, ...blob } = stargzBlob(toc, { data: [HELLO] });
    const annotations = { "containerd.io/snapshot/stargz/toc.digest": sha256("another") };
    await expect(readToc(blob, { ...descriptor, annotations })).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it.each([
    ["a plain gzip layer", gzipSync(archive(file("a", "b")))],
    ["a tar", archive(file("a", "b"))],
    ["an empty blob", Buffer.alloc(0)],
    ["a blob of one byte", Buffer.from([0x1f])],
    ["an offset outside of the blob", Buffer.concat([gzipSync(HELLO), stargzFooter(1e9)])],
    ["an offset at the footer itself", stargzFooter(0)],
  ])("finds no table in %s", async (_name, bytes) => {
    expect(await read(memoryBlob(bytes))).toBeUndefined();
  });

  it("refuses a table that unpacks to more than 50 MiB, or a hundredfold", async () => {
    const bomb = gzipSync(Buffer.alloc(51 * 2 ** 20, 0x20));
    const blob = memoryBlob(Buffer.concat([bomb, stargzFooter(0)]));
    await expect(read(blob)).rejects.toMatchObject({ code: "layer_limit" });
  });

  it("refuses a packed table of over 50 MiB before it is fetched", async () => {
    const blob = memoryBlob(stargzFooter(10));
    const descriptor = { ...blob.descriptor, size: 60 * 2 ** 20 };
    const source = {
      fetchRange: (_: unknown, { offset, length }: { offset: number; length: number }) => {
        const bytes = Buffer.alloc(length);
        stargzFooter(10).copy(bytes, length - 51);
        expect(offset).toBeGreaterThan(50 * 2 ** 20);
        return (async function* () {
          yield bytes;
        })();
      },
    };
    await expect(readToc(source, descriptor)).rejects.toMatchObject({ code: "layer_limit" });
  });

  it("refuses a source that gives less than was asked for", async () => {
    const { descriptor, ...blob } = stargzBlob(toc, { data: [HELLO] });
    await expect(readToc(blob, { ...descriptor, size: descriptor.size + 10 })).rejects.toMatchObject({
      code: "size_mismatch",
    });
  });

  it("rejects with the reason of a signal that was aborted before", async () => {
    const reason = new Error("enough");
    await expect(read(stargzBlob(toc), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe.each([
  ["stargz-snapshotter", "GnUlInUx", 40, "io.containers.zstd-chunked"],
  ["containers/storage", "GNUlInUx", 64, "io.github.containers.zstd-chunked"],
])("readToc() of zstd:chunked as %s writes it", (_name, magic, footerBytes, keys) => {
  const json = Buffer.from(JSON.stringify(toc));
  const data = zstdCompressSync(HELLO);
  const packed = zstdCompressSync(json);
  const skippable = (body: Buffer): Buffer => {
    const head = Buffer.from("502a4d1800000000", "hex");
    head.writeUInt32LE(body.length, 4);
    return Buffer.concat([head, body]);
  };
  const footer = Buffer.alloc(footerBytes);
  for (const [index, value] of [data.length + 8, packed.length, json.length, 1].entries()) {
    footer.writeBigUInt64LE(BigInt(value), 8 * index);
  }
  footer.write(magic, footerBytes - 8, "latin1");
  const bytes = Buffer.concat([data, skippable(packed), skippable(footer)]);

  it("finds the table by the footer", async () => {
    const blob = memoryBlob(bytes);
    expect(await read(blob)).toMatchObject({ format: "zstd:chunked", isVouchedFor: false });
    expect(await contents(blob)).toBe("hello");
  });

  it("finds the table by the annotation, and checks the packed table against the other", async () => {
    const position = `${data.length + 8}:${packed.length}:${json.length}:1`;
    const blob = memoryBlob(bytes, {
      [`${keys}.manifest-position`]: position,
      [`${keys}.manifest-checksum`]: sha256(packed),
    });
    expect(await read(blob)).toMatchObject({ format: "zstd:chunked", isVouchedFor: true });
    expect(blob.requests).toEqual([{ offset: data.length + 8, length: packed.length }]);
    const wrong = memoryBlob(bytes, { [`${keys}.manifest-checksum`]: sha256("another") });
    await expect(read(wrong)).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it("refuses a table of another length than promised", async () => {
    const position = `${data.length + 8}:${packed.length}:${json.length + 1}:1`;
    const blob = memoryBlob(bytes, { [`${keys}.manifest-position`]: position });
    await expect(read(blob)).rejects.toMatchObject({ code: "toc_invalid" });
  });
});
