import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import type { Digest } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { writeEstargz } from "../src/node/toc/estargz-writer.js";
import { writeLayer } from "../src/node/archive/writer.js";
import { checkLayerBlob, checkTar } from "../src/node/blob/layer-check.js";
import { createLayerFile, openLayerFile } from "../src/node/blob/layer-file.js";
import { verifyLayerBlob } from "../src/node/blob/layer-verify.js";
import { inChunks, packTar } from "./packed-tar.js";
import { bytesOf } from "./tree-listing.js";

const REASON = new Error("enough");
const ABORTED = AbortSignal.abort(REASON);

function sha256(bytes: Uint8Array): `sha256:${string}` {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function sampleTar(): Promise<Buffer> {
  return packTar([
    { name: "dir/", type: "directory" },
    { name: "dir/file", content: "content of the file" },
    { name: "dir/.wh.gone" },
    { name: "link", type: "symlink", linkname: "dir/file" },
  ]);
}

describe("layer blobs", () => {
  let work = "";
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "layer-blob-"));
  });
  afterEach(() => rmSync(work, { recursive: true, force: true }));

  function put(name: string, bytes: Uint8Array): string {
    writeFileSync(join(work, name), bytes);
    return join(work, name);
  }

  describe("checkLayerBlob()", () => {
    it("tells what a blob is and what it holds, whiteouts too", async () => {
      const tar = await sampleTar();
      const blob = gzipSync(tar);
      const seen: string[] = [];
      const summary = await checkLayerBlob(inChunks(blob, 7), {
        onEntries: (entries) => void seen.push(...entries.map(({ kind, path }) => `${kind} ${path}`)),
      });
      expect(seen).toEqual(["directory dir", "file dir/file", "whiteout dir/gone", "symlink link"]);
      const { layerHash } = await writeLayer(join(work, "archive"), inChunks(tar));
      expect(summary).toEqual({
        compression: "gzip",
        digest: sha256(blob),
        size: blob.length,
        diffID: sha256(tar),
        layerHash,
        uncompressedSize: tar.length,
        entryCount: 4,
      });
    });

    it("waits for who takes the entries", async () => {
      let isBusy = false;
      await checkLayerBlob(inChunks(await sampleTar(), 512), {
        async onEntries() {
          expect(isBusy).toBe(false);
          isBusy = true;
          await new Promise((resolve) => {
            setTimeout(resolve, 2);
          });
          isBusy = false;
        },
      });
    });

    it("refuses what is damaged, cut off or no layer", async () => {
      const blob = gzipSync(await sampleTar());
      await expect(checkLayerBlob(inChunks(blob.subarray(0, -9)))).rejects.toMatchObject({
        code: "compression_invalid",
      });
      await expect(checkLayerBlob(inChunks(Buffer.alloc(512, 7)))).rejects.toMatchObject({ code: "tar_invalid" });
      const whiteout = await packTar([{ name: ".wh.." }]);
      await expect(checkLayerBlob(inChunks(whiteout))).rejects.toMatchObject({ code: "layer_invalid" });
      await expect(checkLayerBlob(inChunks(blob), { limits: { entries: 3 } })).rejects.toMatchObject({
        code: "layer_limit",
      });
    });

    it("rejects with the signal's reason", async () => {
      await expect(checkLayerBlob(inChunks(await sampleTar()), { signal: ABORTED })).rejects.toBe(REASON);
      const abort = new AbortController();
      const onEntries = (): void => abort.abort(REASON);
      const checking = checkLayerBlob(inChunks(await sampleTar(), 512), { signal: abort.signal, onEntries });
      await expect(checking).rejects.toBe(REASON);
    });
  });

  describe("checkTar()", () => {
    it("gives the tar's bytes unchanged", async () => {
      const tar = await sampleTar();
      expect((await bytesOf(checkTar(inChunks(tar, 100)))).equals(tar)).toBe(true);
    });

    it("gives no chunk that the reader has refused", async () => {
      const tar = Buffer.concat([(await sampleTar()).subarray(0, 512), Buffer.alloc(512, 9)]);
      const given: number[] = [];
      const reading = (async () => {
        for await (const chunk of checkTar(inChunks(tar, 512))) given.push(chunk.length);
      })();
      await expect(reading).rejects.toMatchObject({ code: "tar_invalid" });
      expect(given).toEqual([512]);
    });

    it("rejects with the signal's reason", async () => {
      await expect(bytesOf(checkTar(inChunks(await sampleTar()), { signal: ABORTED }))).rejects.toBe(REASON);
    });
  });

  describe("openLayerFile()", () => {
    it("reads the whole and any range", async () => {
      const bytes = Buffer.from(
        Array.from({ length: 2_500_000 }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24),
      );
      await using file = await openLayerFile(put("blob", bytes));
      expect(file.size).toBe(bytes.length);
      expect((await bytesOf(file.chunks())).equals(bytes)).toBe(true);
      const descriptor = { mediaType: "", digest: sha256(bytes), size: bytes.length };
      const range = await bytesOf(file.fetchRange(descriptor, { offset: 1_048_570, length: 20 }));
      expect(range.equals(bytes.subarray(1_048_570, 1_048_590))).toBe(true);
    });

    it("refuses a directory, and a pipe without waiting for a writer", async () => {
      execFileSync("mkfifo", [join(work, "pipe")]);
      for (const path of [work, join(work, "pipe")]) {
        await expect(openLayerFile(path)).rejects.toMatchObject({ code: "layer_invalid" });
      }
    });

    it("says where a file ends that was cut off meanwhile", async () => {
      const path = put("blob", Buffer.alloc(100));
      await using file = await openLayerFile(path);
      truncateSync(path, 10);
      await expect(bytesOf(file.chunks())).rejects.toThrow("it ends at byte 10");
    });

    it("rejects with the signal's reason", async () => {
      const path = put("blob", Buffer.alloc(100));
      await expect(openLayerFile(path, { signal: ABORTED })).rejects.toBe(REASON);
      await using file = await openLayerFile(path);
      await expect(bytesOf(file.chunks({ signal: ABORTED }))).rejects.toBe(REASON);
    });
  });

  describe("createLayerFile()", () => {
    it("replaces a file as a whole when it is committed", async () => {
      const path = put("out", Buffer.from("old"));
      await using file = await createLayerFile(path);
      await file.write(Buffer.from("new "));
      await file.write(Buffer.from("bytes"));
      expect(readFileSync(path, "utf8")).toBe("old");
      await file.commit();
      expect(readFileSync(path, "utf8")).toBe("new bytes");
      expect(readdirSync(work)).toEqual(["out"]);
    });

    it("changes nothing when it is not committed", async () => {
      const path = put("out", Buffer.from("old"));
      {
        await using file = await createLayerFile(path);
        await file.write(Buffer.alloc(3 << 20));
        expect(readdirSync(work)).toHaveLength(2);
      }
      expect(readdirSync(work)).toEqual(["out"]);
      expect(readFileSync(path, "utf8")).toBe("old");
    });

    it("does not rename over what is no regular file", async () => {
      for (const path of [work, "/dev/null"]) {
        await expect(createLayerFile(path)).rejects.toMatchObject({ code: "output_invalid" });
      }
    });
  });

  describe("verifyLayerBlob()", () => {
    async function estargz(
      externalToc = false,
    ): Promise<{ path: string; blob: Buffer; toc: Digest; external: Uint8Array | undefined }> {
      const parts: Buffer[] = [];
      const write = async (bytes: Uint8Array): Promise<unknown> => parts.push(Buffer.from(bytes));
      const written = await writeEstargz(inChunks(await sampleTar()), { write }, { chunkSize: 8, externalToc });
      const blob = Buffer.concat(parts);
      return { path: put("estargz", blob), blob, toc: written.tocDigest, external: written.externalToc };
    }

    it("gives the summary of a plain layer", async () => {
      const blob = gzipSync(await sampleTar());
      await using file = await openLayerFile(put("plain", blob));
      expect(await verifyLayerBlob(file)).toEqual(await checkLayerBlob(inChunks(blob)));
    });

    it("proves the table of contents of an eStargz layer", async () => {
      const { path, toc, blob } = await estargz();
      await using file = await openLayerFile(path);
      expect(await verifyLayerBlob(file, { tocDigest: toc })).toMatchObject({
        digest: sha256(blob),
        diffID: sha256(gunzipSync(blob)),
        toc: { format: "estargz", digest: toc, chunkCount: 3, inexactNames: 0, inexactTimes: 0 },
      });
    });

    it("proves a table that is elsewhere", async () => {
      const { path, toc, external } = await estargz(true);
      await using file = await openLayerFile(path);
      expect((await verifyLayerBlob(file)).toc).toBeUndefined();
      expect((await verifyLayerBlob(file, { externalToc: external })).toc).toMatchObject({ digest: toc });
    });

    it("refuses another table than that of the digest, and none", async () => {
      const { path } = await estargz();
      const tocDigest = sha256(Buffer.from("other"));
      await using file = await openLayerFile(path);
      await expect(verifyLayerBlob(file, { tocDigest })).rejects.toMatchObject({ code: "digest_mismatch" });
      await using plain = await openLayerFile(put("plain", await sampleTar()));
      await expect(verifyLayerBlob(plain, { tocDigest })).rejects.toMatchObject({ code: "toc_invalid" });
    });

    it("refuses a layer whose tar says something else than its table", async () => {
      const { path, external } = await estargz(true);
      const tar = gunzipSync(readFileSync(path));
      tar[tar.indexOf("content of")] = 0x43;
      const footer = readFileSync(path).subarray(-46);
      await using file = await openLayerFile(put("forged", Buffer.concat([gzipSync(tar), footer])));
      await expect(verifyLayerBlob(file, { externalToc: external })).rejects.toMatchObject({
        code: expect.stringMatching(/^toc_/),
      });
    });

    it("rejects with the signal's reason", async () => {
      const { path } = await estargz();
      await using file = await openLayerFile(path);
      await expect(verifyLayerBlob(file, { signal: ABORTED })).rejects.toBe(REASON);
    });
  });
});
