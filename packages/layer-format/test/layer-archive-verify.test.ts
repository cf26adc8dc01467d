import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readLayer } from "../src/node/archive/lookup.js";
import { openLayer } from "../src/node/archive/reader.js";
import { verifyLayer } from "../src/node/archive/verify.js";
import { writeLayer, type WrittenLayer } from "../src/node/archive/writer.js";
import { inChunks, packTar } from "./packed-tar.js";

let directory: string;
let written: WrittenLayer;

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), "layer-verify-")), "one");
  written = await writeLayer(directory, inChunks(SAMPLE));
});

afterEach(async () => {
  await rm(join(directory, ".."), { recursive: true });
});

const SAMPLE = await packTar([
  { name: "d/", type: "directory" },
  { name: "d/f", content: "some data", pax: { "SCHILY.xattr.user.a": "value" } },
  { name: "empty" },
  { name: "l", type: "symlink", linkname: "d/f" },
  { name: "d/.wh.gone" },
  { name: "g\u00ff", content: "more" },
]);

describe("verifyLayer()", () => {
  it("finds nothing wrong with what writeLayer() made, and tells what it is", async () => {
    expect(await verifyLayer(directory)).toEqual(written);
  });

  it("names the entry whose data is damaged", async () => {
    const path = join(directory, "contents");
    const intact = await readFile(path);
    for (let at = 0; at < intact.length; at++) {
      const damaged = Buffer.from(intact);
      damaged[at] = (damaged[at] ?? 0) ^ 0x80;
      await writeFile(path, damaged);
      await expect(verifyLayer(directory)).rejects.toMatchObject({
        code: "archive_invalid",
        message: expect.stringContaining(at < "some data".length ? 'the data of "d/f"' : 'the data of "g'),
      });
    }
    await writeFile(path, intact);
    await verifyLayer(directory);
  });

  it("finds any changed byte of the index, which no other call takes for something else", async () => {
    const path = join(directory, "idx");
    const intact = await readFile(path);
    for (let at = 0; at < intact.length; at += at < 300 ? 1 : 41) {
      const damaged = Buffer.from(intact);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      await writeFile(path, damaged);
      await expect(verifyLayer(directory)).rejects.toMatchObject({ code: "archive_invalid" });
      await expect(openLayer(directory)).rejects.toMatchObject({ code: "archive_invalid" });
    }
  });

  it("finds what is wrong under right checksums", async () => {
    const path = join(directory, "idx");
    const intact = await readFile(path);
    const used = intact.subarray(0, 4092).findLastIndex((byte) => byte !== 0) + 1;
    let accepted = 0;
    for (let at = 16; at < used; at++) {
      await writeFile(path, resealed(intact, at));
      await expect(verifyLayer(directory)).rejects.toMatchObject({ code: "archive_invalid" });
      // What these take for true they may give; they end with an answer or the one error.
      try {
        await (await openLayer(directory))[Symbol.asyncDispose]();
        await using archive = await readLayer(directory);
        await archive.lookup("d/f");
        accepted++;
      } catch (error) {
        expect(error).toMatchObject({ code: "archive_invalid" });
      }
    }
    expect(accepted).toBeGreaterThan(0);
  });

  it("refuses an index or contents with something more or less", async () => {
    for (const name of ["idx", "contents"]) {
      const path = join(directory, name);
      const intact = await readFile(path);
      for (const bytes of [Buffer.concat([intact, Buffer.alloc(4096)]), intact.subarray(0, -1), Buffer.alloc(0)]) {
        await writeFile(path, bytes);
        await expect(verifyLayer(directory)).rejects.toMatchObject({ code: "archive_invalid" });
      }
      await writeFile(path, intact);
    }
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(verifyLayer(directory, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

/** The index with one byte of its first page changed and the page's checksum made anew. */
function resealed(intact: Buffer, at: number): Buffer {
  const bytes = Buffer.from(intact);
  bytes[at] = (bytes[at] ?? 0) ^ 0x01;
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 4092), 0), 4092);
  return bytes;
}
