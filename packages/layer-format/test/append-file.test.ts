import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { AppendFile } from "../src/node/append-file.js";

const MIB = 1024 * 1024;

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "append-file-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

it.each([
  ["small pieces", [1, 10, 100, 1000]],
  ["pieces of its buffer's size", [MIB, MIB, MIB]],
  ["pieces of many buffers, between which it is drained", [3 * MIB + 1, 5 * MIB, 4 * MIB - 1, 7]],
])("a file keeps what is appended in %s", async (_, lengths) => {
  const path = join(directory, "file");
  const whole = Buffer.alloc(lengths.reduce((sum, length) => sum + length, 0));
  for (let at = 0; at + 4 <= whole.length; at += 4) whole.writeUInt32LE(at, at);
  await using file = await AppendFile.create(path);
  let start = 0;
  for (const length of lengths) {
    // Its own copy, spoilt afterwards as a reader of borrowed chunks would.
    const piece = Buffer.from(whole.subarray(start, start + length));
    file.append(piece);
    piece.fill(0xee);
    await file.drain();
    start += length;
  }
  await file.finish();
  expect(file.bytes).toBe(whole.length);
  expect(Buffer.compare(await readFile(path), whole)).toBe(0);
});

it("a file that is there already is not written over", async () => {
  const path = join(directory, "file");
  await using first = await AppendFile.create(path);
  first.append(Uint8Array.of(1));
  await first.finish();
  await expect(AppendFile.create(path)).rejects.toMatchObject({ code: "EEXIST" });
  expect([...(await readFile(path))]).toEqual([1]);
});
