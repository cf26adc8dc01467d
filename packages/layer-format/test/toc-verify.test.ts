import { describe, expect, it } from "vitest";

import { readToc } from "../src/node/toc/reader.js";
import type { LayerToc } from "../src/toc/toc.js";
import { verifyToc } from "../src/toc/verify.js";
import { inChunks } from "./packed-tar.js";
import { archive, file, header, pax } from "./tar-builder.js";
import { sha256, stargzBlob } from "./toc-blob.js";

const DATA = "data of a file";
const CHUNKS = [DATA.slice(0, 9), DATA.slice(9)];
const fields = {
  name: "f",
  type: "reg",
  size: DATA.length,
  mode: 0o644,
  uid: 7,
  gid: 8,
  modtime: "1970-01-01T00:01:40Z",
  xattrs: { "user.a": "AQ==" },
  digest: sha256(DATA),
  chunkSize: 9,
  chunkDigest: sha256(CHUNKS[0] ?? ""),
  offset: 0,
};
const chunk = { name: "f", type: "chunk", offset: 10, chunkOffset: 9, chunkDigest: sha256(CHUNKS[1] ?? "") };
const link = { name: "l", type: "symlink", linkName: "f", mode: 0o644, modtime: "1970-01-01T00:00:00Z" };
const device = { name: "d", type: "char", devMajor: 1, devMinor: 3, mode: 0o644 };

const FILE = [pax({ "SCHILY.xattr.user.a": "\x01" }), file("f", DATA, { uid: 7, gid: 8, mtime: 100 })];
const REST = [header({ name: "l", type: "2", linkName: "f" }), header({ name: "d", type: "3", major: 1, minor: 3 })];
const TAR = archive(...FILE, ...REST);

async function tocOf(entries: readonly object[]): Promise<LayerToc> {
  const blob = stargzBlob({ version: 1, entries }, { data: [Buffer.alloc(200)] });
  const toc = await readToc(blob, blob.descriptor);
  if (toc === undefined) throw new Error("no table");
  return toc;
}

async function verify(entries: readonly object[], tar: Uint8Array = TAR): Promise<unknown> {
  return verifyToc(inChunks(tar, 100), await tocOf(entries));
}

describe("verifyToc()", () => {
  it("agrees to a table that says what the tar says", async () => {
    expect(await verify([fields, chunk, link, device])).toEqual({
      entryCount: 3,
      chunkCount: 2,
      inexactNames: 0,
      inexactTimes: 0,
    });
  });

  it.each([
    ["name", [{ ...fields, name: "g" }, chunk, link, device]],
    ["type", [fields, chunk, { ...link, type: "fifo" }, device]],
    ["mode", [{ ...fields, mode: 0o4644 }, chunk, link, device]],
    ["uid", [{ ...fields, uid: 0 }, chunk, link, device]],
    ["gid", [{ ...fields, gid: 0 }, chunk, link, device]],
    ["time", [{ ...fields, modtime: "1970-01-01T00:01:41Z" }, chunk, link, device]],
    ["fraction of a time", [{ ...fields, modtime: "1970-01-01T00:01:40.5Z" }, chunk, link, device]],
    ["size", [{ ...fields, size: DATA.length + 1 }, { ...chunk, chunkSize: 0 }, link, device]],
    ["xattr", [{ ...fields, xattrs: { "user.a": "Ag==" } }, chunk, link, device]],
    ["number of xattrs", [{ ...fields, xattrs: {} }, chunk, link, device]],
    ["name of an xattr", [{ ...fields, xattrs: { "user.b": "AQ==" } }, chunk, link, device]],
    ["first chunk", [{ ...fields, chunkDigest: sha256("x") }, chunk, link, device]],
    ["last chunk", [fields, { ...chunk, chunkDigest: sha256("x") }, link, device]],
    ["digest of a file", [{ ...fields, digest: sha256("x") }, chunk, link, device]],
    ["link target", [fields, chunk, { ...link, linkName: "g" }, device]],
    ["device", [fields, chunk, link, { ...device, devMinor: 4 }]],
    ["order", [fields, chunk, device, link]],
    ["number of entries, too few", [fields, chunk, link]],
    ["number of entries, too many", [fields, chunk, link, device, { ...device, name: "e" }]],
  ])("finds another %s", async (_name, entries) => {
    await expect(verify(entries)).rejects.toMatchObject({ code: "toc_mismatch" });
  });

  it("finds a table in the tar that is another one", async () => {
    const other = archive(...FILE, ...REST, file("stargz.index.json", "{}"));
    await expect(verify([fields, chunk, link, device], other)).rejects.toMatchObject({ code: "toc_mismatch" });
    const json = JSON.stringify({ version: 1, entries: [fields, chunk, link, device] });
    const own = archive(...FILE, ...REST, file("stargz.index.json", json), file(".no.prefetch.landmark", "\x0f"));
    expect(await verify([fields, chunk, link, device], own)).toMatchObject({ entryCount: 3 });
  });

  it("counts what Go's writers cannot say, and takes nothing else for it", async () => {
    const odd = (time: string): Buffer => archive(pax({ mtime: time, path: "a\xff" }), file("a", ""));
    const entry = { name: "a\ufffd", type: "reg", mode: 0o644, modtime: "1970-01-01T00:00:02Z" };
    expect(await verify([entry], odd("1.5"))).toMatchObject({ inexactNames: 1, inexactTimes: 1 });
    expect(await verify([{ ...entry, modtime: "" }], odd("0.7"))).toMatchObject({ inexactTimes: 1 });
    await expect(verify([entry], odd("1.4"))).rejects.toMatchObject({ code: "toc_mismatch" });
    await expect(verify([{ ...entry, name: "a?" }], odd("2"))).rejects.toMatchObject({ code: "toc_mismatch" });
  });

  it("hashes a sparse file with its holes, as other writers do", async () => {
    const sparse = pax({
      "GNU.sparse.major": "0",
      "GNU.sparse.minor": "1",
      "GNU.sparse.size": "200000",
      "GNU.sparse.numblocks": "1",
      "GNU.sparse.map": "100000,3",
    });
    const whole = Buffer.alloc(200_000);
    whole.write("abc", 100_000);
    const entry = { name: "s", type: "reg", mode: 0o644, size: whole.length, offset: 0, chunkDigest: sha256(whole) };
    const tar = archive(sparse, file("s", "abc"));
    expect(await verify([entry], tar)).toMatchObject({ chunkCount: 1 });
    whole.write("abd", 100_000);
    await expect(verify([{ ...entry, chunkDigest: sha256(whole) }], tar)).rejects.toMatchObject({
      code: "toc_mismatch",
    });
  });

  it("rejects with the reason of a signal that was aborted before", async () => {
    const reason = new Error("enough");
    const toc = await tocOf([fields, chunk]);
    await expect(verifyToc(inChunks(TAR), toc, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
