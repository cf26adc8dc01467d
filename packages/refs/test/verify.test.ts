import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { collectContent, digestOf, verifyContent } from "../src/index.js";

async function* stream(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function drain(source: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of source) bytes += chunk.byteLength;
  return bytes;
}

const content = new Uint8Array(1000).map((_, index) => index % 251);
const descriptor = { digest: digestOf(content), size: content.length };
const failure = (code: string) => expect.objectContaining({ code });

describe("verifyContent()", () => {
  it("passes content through unchanged, however it is split", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(300)), async (bytes, cuts) => {
        const points = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const chunks = points.slice(1).map((end, index) => bytes.subarray(points[index], end));
        const promised = { digest: digestOf(bytes, "sha512"), size: bytes.length };
        expect(await collectContent(promised, stream(chunks), 300)).toEqual(bytes);
      }),
    );
  });

  it("refuses a longer body before passing on the chunk that is too much, and stops reading", async () => {
    let isClosed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield content;
      } finally {
        isClosed = true;
      }
    }
    const passed: Uint8Array[] = [];
    await expect(async () => {
      for await (const chunk of verifyContent(descriptor, endless())) passed.push(chunk);
    }).rejects.toThrow(failure("size_mismatch"));
    expect(passed).toHaveLength(1);
    expect(isClosed).toBe(true);
  });

  it("refuses a shorter body at its end", async () => {
    await expect(drain(verifyContent(descriptor, stream([content.subarray(1)])))).rejects.toThrow(
      failure("size_mismatch"),
    );
    await expect(drain(verifyContent(descriptor, stream([])))).rejects.toThrow("ends after 0 of 1000 bytes");
  });

  it("refuses any single changed bit", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(content.length * 8 - 1), async (bit) => {
        const changed = content.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        await expect(drain(verifyContent(descriptor, stream([changed])))).rejects.toThrow(failure("digest_mismatch"));
      }),
      { numRuns: 50 },
    );
  });

  it("checks the signal before and between reads and rejects with its reason", async () => {
    const reason = new Error("stop");
    let reads = 0;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false as const, value: content.subarray(0, ++reads) }),
      }),
    };
    await expect(drain(verifyContent(descriptor, source, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    await expect(collectContent(descriptor, source, 1000, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(reads).toBe(0);
    const controller = new AbortController();
    const iterator = verifyContent(descriptor, source, { signal: controller.signal });
    await iterator.next();
    controller.abort(reason);
    await expect(iterator.next()).rejects.toBe(reason);
  });
});

describe("collectContent()", () => {
  it("refuses what is over the limit before reading", async () => {
    let isRead = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      isRead = true;
      yield content;
    }
    await expect(collectContent(descriptor, source(), 999)).rejects.toThrow(failure("document_too_large"));
    expect(isRead).toBe(false);
    expect(await collectContent(descriptor, source(), 1000)).toEqual(content);
  });
});
