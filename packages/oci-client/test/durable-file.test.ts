import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createDurableFile } from "../src/durable-file.js";
import { pseudoRandom } from "./registry-server.js";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "durable-"));
});

afterEach(() => rm(directory, { recursive: true }));

const at = (name: string): string => join(directory, name);

describe("a durable file", () => {
  it("holds what was written, in chunks of any size, from a buffer that is used again", async () => {
    const sizes = fc.array(fc.oneof(fc.nat(5000), fc.integer({ min: 250_000, max: 1_300_000 })), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(sizes, async (lengths) => {
        const content = pseudoRandom(lengths.reduce((sum, length) => sum + length, 0));
        const buffer = new Uint8Array(1_300_000);
        await using file = await createDurableFile(at("file.tmp"));
        let start = 0;
        for (const length of lengths) {
          buffer.set(content.subarray(start, start + length));
          await file.write(buffer.subarray(0, length));
          start += length;
          expect(file.size).toBe(start);
        }
        await file.publish(at("file"));
        expect(Buffer.compare(await readFile(at("file")), content)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });

  it("is synced on the way when it is big, and is whole at the end", async () => {
    const chunk = pseudoRandom(1_000_000);
    await using file = await createDurableFile(at("big.tmp"));
    for (let count = 0; count < 70; count++) await file.write(chunk);
    await file.truncate(69_500_000);
    await file.publish(at("big"));
    const written = await readFile(at("big"));
    expect([written.length, Buffer.compare(written.subarray(68_000_000, 69_000_000), chunk)]).toEqual([69_500_000, 0]);
  });

  it("leaves nothing when it is given up in the middle", async () => {
    {
      await using file = await createDurableFile(at("file.tmp"));
      for (let count = 0; count < 40; count++) await file.write(pseudoRandom(1_000_000));
    }
    expect(await readdir(directory)).toEqual([]);
  });
});
