import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { gzipSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { LayerFormatError } from "../src/errors.js";
import { decompress, type DecompressOptions, detectCompression } from "../src/node/compression/decompress.js";
import { decompressZstd } from "../src/node/compression/zstd.js";

const TEXT = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `line ${index * 7919}\n`).join(""));
const NOISE = Buffer.from(
  Uint8Array.from({ length: 300_000 }, (_, index) => Math.imul(index + 1, 2_654_435_761) >>> 24),
);

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = Buffer.from(bytes.subarray(at, at + size));
    yield chunk;
    // A source may reuse its buffer once it is asked for more.
    chunk.fill(0xee);
  }
}

async function collect(output: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of output) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Plain output is the source's own buffer, so that it is copied as it comes. */
async function inflate(bytes: Uint8Array, options: DecompressOptions = {}, chunk = 10_000): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of decompress(chunked(bytes, chunk), options)) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/** Far faster than a deep comparison. */
function expectSame(actual: Buffer, expected: Uint8Array): void {
  expect(actual.equals(expected)).toBe(true);
}

async function refused(work: Promise<unknown>): Promise<LayerFormatError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof LayerFormatError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("detectCompression()", () => {
  it("knows what layers may have by its first bytes, and plain tars", () => {
    expect(detectCompression(gzipSync(""))).toBe("gzip");
    expect(detectCompression(Buffer.from("28b52ffd00", "hex"))).toBe("zstd");
    expect(detectCompression(Buffer.from("502a4d1800", "hex"))).toBe("zstd");
    expect(detectCompression(Buffer.from("5f2a4d1800", "hex"))).toBe("zstd");
    expect(detectCompression(Buffer.from("BZh-file"))).toBe("none");
    expect(detectCompression(Buffer.from(""))).toBe("none");
    expect(detectCompression(Buffer.from("1f", "hex"))).toBe("none");
  });

  it.each([
    ["xz", "fd377a585a00"],
    ["bzip2", "425a68393141"],
    ["lz4", "04224d186440"],
  ])("73 refuses %s", (name, hex) => {
    expect(() => detectCompression(Buffer.from(hex, "hex"))).toThrow(`no layer may be ${name}`);
  });
});

describe("decompress()", () => {
  it("passes a plain tar through, an empty one too", async () => {
    expectSame(await inflate(TEXT), TEXT);
    expect(await inflate(new Uint8Array())).toHaveLength(0);
    expectSame(await inflate(Buffer.from("abc"), {}, 1), Buffer.from("abc"));
  });

  it.each([1, 3, 1000, 1_000_000])("inflates gzip from chunks of %i bytes", async (chunk) => {
    const text = chunk < 1000 ? TEXT.subarray(0, 20_000) : TEXT;
    expectSame(await inflate(gzipSync(text), {}, chunk), text);
  });

  it("inflates gzip from chunks of mixed sizes, in a buffer that its source uses again", async () => {
    const noise = Buffer.concat([NOISE, NOISE.subarray(1), NOISE.subarray(2), NOISE.subarray(3)]);
    const whole = gzipSync(noise, { level: 0 });
    const sizes = [1, 0, 200_000, 100_000, 262_144, 5, 300_000, 262_143, 1, 1];
    async function* mixed(): AsyncGenerator<Uint8Array> {
      const buffer = Buffer.alloc(300_000);
      for (let at = 0, turn = 0; at < whole.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 0;
        yield buffer.subarray(0, whole.copy(buffer, 0, at, at + size));
        buffer.fill(0xee);
        at += size;
      }
    }
    expectSame(await collect(decompress(mixed())), noise);
  });

  it("lets the bytes decide, not the media type, but refuses types of other compressions", async () => {
    const gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    expectSame(await inflate(TEXT, { mediaType: gzip }), TEXT);
    expectSame(await inflate(gzipSync(TEXT), { mediaType: "application/vnd.oci.image.layer.v1.tar+zstd" }), TEXT);
    expect(await inflate(gzipSync(TEXT), { mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip" })).toEqual(
      TEXT,
    );
    expectSame(await inflate(TEXT, { mediaType: "application/vnd.oci.image.layer.v1.tar" }), TEXT);
    for (const suffix of ["+xz", "+gzip+encrypted", ".bzip2"]) {
      const error = await refused(inflate(TEXT, { mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}` }));
      expect(error.code).toBe("compression_invalid");
    }
  });

  it("69 joins several gzip members, wherever chunks end", async () => {
    const members = Buffer.concat([gzipSync("one"), gzipSync(""), gzipSync("two")]);
    for (let chunk = 1; chunk <= members.length; chunk++) {
      expect((await inflate(members, {}, chunk)).toString()).toBe("onetwo");
    }
  });

  it("70 refuses what follows a gzip stream, zeros too, wherever chunks end", async () => {
    for (const tail of ["garbage", "\0", "\0\0\0\0", "\x1f", "\x1f\x8b\x08", "\0\x1f\x8b"]) {
      const bytes = Buffer.concat([gzipSync("one"), Buffer.from(tail, "latin1")]);
      for (const chunk of [1, 7, bytes.length - tail.length, bytes.length]) {
        expect((await refused(inflate(bytes, {}, chunk))).code).toBe("compression_invalid");
      }
    }
  });

  it("71 refuses a wrong CRC, a wrong size and flipped bits in gzip", async () => {
    const whole = gzipSync(TEXT);
    for (const at of [whole.length - 8, whole.length - 1, 100, 3]) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 0x40;
      expect((await refused(inflate(bytes))).code).toBe("compression_invalid");
    }
  });

  it("refuses gzip that is truncated anywhere", async () => {
    const whole = gzipSync(TEXT.subarray(0, 2000));
    for (let length = 2; length < whole.length; length += 13) {
      expect((await refused(inflate(whole.subarray(0, length)))).code).toBe("compression_invalid");
    }
  });

  it("67 stops a bomb by its ratio and by its size, long before its end", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20));
    const small = { ratioFreeBytes: 2 ** 20 };
    const byRatio = await refused(inflate(bomb, { limits: small }));
    expect([byRatio.code, byRatio.message]).toEqual(["layer_limit", "cannot decompress layer: it grows over 200-fold"]);
    const bySize = await refused(inflate(bomb, { limits: { outputBytes: 2 ** 20 } }));
    expect([bySize.code, bySize.message]).toEqual([
      "layer_limit",
      "cannot decompress layer: the tar has over 1048576 bytes",
    ]);
    expectSame(await inflate(gzipSync(TEXT), { limits: small }), TEXT);
    expect((await refused(inflate(TEXT, { limits: { outputBytes: 100 } }))).code).toBe("layer_limit");
  });

  it("gives a source's error as it is, and closes the source when it fails itself", async () => {
    const failure = new Error("connection reset");
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield gzipSync(TEXT).subarray(0, 100);
      throw failure;
    }
    await expect(collect(decompress(failing()))).rejects.toBe(failure);

    const closed = trackClose(Buffer.concat([gzipSync("x"), Buffer.from("junk"), NOISE]), 10);
    await refused(collect(decompress(closed.source)));
    expect(closed.isClosed()).toBe(true);
  });

  it("closes the source when its reader stops", async () => {
    for (const bytes of [gzipSync(NOISE), NOISE]) {
      const tracked = trackClose(bytes, 1000);
      for await (const chunk of decompress(tracked.source)) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect(tracked.isClosed()).toBe(true);
    }
  });

  it("reads no further than its reader does", async () => {
    const bytes = gzipSync(Buffer.concat(Array.from({ length: 10 }, () => NOISE)), { level: 0 });
    const tracked = trackClose(bytes, 1000);
    const output = decompress(tracked.source);
    await output.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(tracked.given()).toBeLessThan(bytes.length / 3);
    await output.return(undefined);
    expect(tracked.isClosed()).toBe(true);
  });

  it("rejects with the signal's reason before it reads anything", async () => {
    const reason = new Error("stop");
    const tracked = trackClose(TEXT, 10);
    const output = decompress(tracked.source, { signal: AbortSignal.abort(reason) });
    await expect(output.next()).rejects.toBe(reason);
    expect(tracked.given()).toBe(0);
  });

  it.each(["gzip", "plain", "nothing yet"])("rejects at once when aborted while its source hangs: %s", async (kind) => {
    const controller = new AbortController();
    const reason = new Error("stop");
    async function* hanging(): AsyncGenerator<Uint8Array> {
      if (kind !== "nothing yet") yield kind === "gzip" ? gzipSync(NOISE).subarray(0, 200_000) : TEXT;
      await once(new EventTarget(), "never");
    }
    const reading = collect(decompress(hanging(), { signal: controller.signal }));
    setTimeout(() => controller.abort(reason), 20);
    await expect(reading).rejects.toBe(reason);
  });

  it("rejects when aborted between two reads", async () => {
    const controller = new AbortController();
    const reason = new Error("stop");
    const tracked = trackClose(gzipSync(NOISE), 5000);
    const output = decompress(tracked.source, { signal: controller.signal });
    await output.next();
    controller.abort(reason);
    await expect(output.next()).rejects.toBe(reason);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(tracked.isClosed()).toBe(true);
  });
});

function trackClose(
  bytes: Uint8Array,
  size: number,
): { source: AsyncIterable<Uint8Array>; isClosed(): boolean; given(): number } {
  let closed = false;
  let given = 0;
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of chunked(bytes, size)) {
        given += chunk.length;
        yield chunk;
      }
    } finally {
      closed = true;
    }
  }
  return { source: read(), isClosed: () => closed, given: () => given };
}

const hasZstd = ((): boolean => {
  try {
    execFileSync("zstd", ["--version"]);
    return true;
  } catch {
    return false;
  }
})();

function zstd(bytes: Uint8Array, ...options: readonly string[]): Buffer {
  return execFileSync("zstd", ["-q", "-c", ...options], { input: bytes, maxBuffer: 1 << 28 });
}

/** Frames by hand: a header, then blocks of (type, size, content). */
const SKIPPABLE = Buffer.from("5a2a4d1803000000aabbcc", "hex");
const EMPTY_SKIPPABLE = Buffer.from("502a4d1800000000", "hex");
/** A single-segment frame of "abc" in one raw block, without a checksum. */
const RAW_FRAME = Buffer.from("28b52ffd2003190000616263", "hex");
const WINDOW_2_GIB = Buffer.from("28b52ffd00a8010000", "hex");
const WITH_DICTIONARY = Buffer.from("28b52ffd210703190000616263", "hex");
const DICTIONARY_ZERO = Buffer.from("28b52ffd210003190000616263", "hex");

const natives =
  typeof (process.getBuiltinModule("node:zlib") as { createZstdDecompress?: unknown }).createZstdDecompress ===
  "function";

describe.each([...(natives ? [false] : []), true])("decompress(): zstd, portable: %s", (portable) => {
  function unpack(bytes: Uint8Array, chunk = 10_000, windowBytes = 2 ** 27): Promise<Buffer> {
    return collect(decompressZstd(chunked(bytes, chunk), { windowBytes, portable }));
  }

  it("72 decodes several frames and leaves out skippable ones, wherever chunks end", async () => {
    const bytes = Buffer.concat([SKIPPABLE, RAW_FRAME, EMPTY_SKIPPABLE, SKIPPABLE, RAW_FRAME, SKIPPABLE]);
    for (let chunk = 1; chunk <= bytes.length; chunk++) expect((await unpack(bytes, chunk)).toString()).toBe("abcabc");
  });

  it("72 refuses a dictionary, but takes number 0 for none", async () => {
    expect((await refused(unpack(WITH_DICTIONARY))).message).toContain("dictionary");
    expect((await unpack(DICTIONARY_ZERO)).toString()).toBe("abc");
  });

  it("makes only some of a chunk's output at once, however much it stands for", async () => {
    // 2 GiB in blocks of 128 KiB, each one byte repeated
    const blocks = Buffer.concat(Array.from({ length: 16_384 }, () => Buffer.from([0x02, 0x00, 0x10, 0x00])));
    const frame = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3]), blocks]);
    const before = process.memoryUsage().arrayBuffers;
    const output = decompressZstd(chunked(frame, frame.length), { windowBytes: 2 ** 20, portable });
    expect((await output.next()).done).toBe(false);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 29);
    await output.return(undefined);
  });

  it("68 refuses a window of 2 GiB before anything is allocated", async () => {
    expect((await refused(unpack(WINDOW_2_GIB))).code).toBe("layer_limit");
  });

  it("70 refuses what follows the frames", async () => {
    for (const tail of ["garbage", "\0\0\0\0", "\0"]) {
      const bytes = Buffer.concat([RAW_FRAME, Buffer.from(tail)]);
      for (const chunk of [1, bytes.length])
        expect((await refused(unpack(bytes, chunk))).code).toBe("compression_invalid");
    }
  });

  it("refuses a wrong content size, a reserved bit and a reserved block", async () => {
    const spoil = (at: number, byte: number): Buffer => Object.assign(Buffer.from(RAW_FRAME), { [at]: byte });
    for (const bytes of [spoil(5, 4), spoil(5, 2), spoil(4, 0x28), spoil(6, 0x1f)]) {
      expect((await refused(unpack(bytes))).code).toBe("compression_invalid");
    }
  });

  it.skipIf(!hasZstd)("decodes what zstd writes, at any level and from chunks of any size", async () => {
    for (const options of [["-1"], ["-19"], ["--long=23", "-3"], ["--no-check"], ["--no-content-size"]]) {
      expectSame(await unpack(zstd(TEXT, ...options)), TEXT);
    }
    const small = zstd(TEXT.subarray(0, 3000));
    expectSame(await unpack(small, 1), TEXT.subarray(0, 3000));
    expect(await unpack(Buffer.concat([zstd(NOISE), zstd(new Uint8Array()), zstd(TEXT)]), 777)).toEqual(
      Buffer.concat([NOISE, TEXT]),
    );
  });

  it.skipIf(!hasZstd)("decodes frames of any number of blocks, whether they give their size or not", async () => {
    const text = Buffer.concat([TEXT, TEXT.subarray(0, 1000), NOISE, TEXT, TEXT]);
    const block = 128 * 1024;
    for (const length of [1, block, block + 1, 8 * block - 1, 8 * block, 8 * block + 1, 10 * block]) {
      const bytes = Buffer.alloc(length, text);
      for (const options of [["--long=27"], ["--no-content-size"]]) {
        expectSame(await unpack(zstd(bytes, ...options), 1 << 20), bytes);
      }
    }
  });

  it("takes a small frame's memory by its blocks, whatever window it asks for", async () => {
    // "a" in one raw block, after as many empty ones, in a frame of a window of 128 MiB
    const frame = (empty: number): Buffer =>
      Buffer.concat([Buffer.from("28b52ffd0088", "hex"), Buffer.alloc(3 * empty), Buffer.from("09000061", "hex")]);
    const frames = Array.from({ length: 2000 }, (_, index) => frame(index % 8));
    expectSame(await unpack(Buffer.concat(frames)), Buffer.alloc(frames.length, "a"));
    expect((await unpack(frame(100_000))).toString()).toBe("a");
  }, 5000);

  it("refuses a frame that promises more than its blocks can hold", async () => {
    // a single segment of 64 MiB
    const promised = Buffer.concat([
      Buffer.from("28b52ffda0", "hex"),
      Buffer.from([0, 0, 0, 4]),
      RAW_FRAME.subarray(6),
    ]);
    expect((await refused(unpack(promised))).code).toBe("compression_invalid");
  });

  it.skipIf(!hasZstd)("71 refuses a wrong checksum, and damage anywhere", async () => {
    const whole = zstd(TEXT.subarray(0, 30_000));
    for (let at = whole.length - 4; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect((await refused(unpack(bytes))).code).toBe("compression_invalid");
    }
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 20, max: whole.length - 5 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const bytes = Buffer.from(whole);
          bytes[at] = (bytes[at] ?? 0) ^ flip;
          expect(["compression_invalid", "layer_limit"]).toContain((await refused(unpack(bytes))).code);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.skipIf(!hasZstd)("refuses a stream that is truncated anywhere", async () => {
    const whole = zstd(TEXT.subarray(0, 3000));
    for (let length = 1; length < whole.length; length += 11) {
      expect((await refused(unpack(whole.subarray(0, length)))).code).toBe("compression_invalid");
    }
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("stop");
    const output = decompressZstd(chunked(RAW_FRAME, 1), {
      windowBytes: 2 ** 20,
      portable,
      signal: AbortSignal.abort(reason),
    });
    await expect(output.next()).rejects.toBe(reason);
  });
});

describe("decompress(): zstd by its bytes", () => {
  it("finds it behind a skippable frame, and counts its ratio", async () => {
    expect((await inflate(Buffer.concat([SKIPPABLE, RAW_FRAME]))).toString()).toBe("abc");
    // Blocks that repeat one byte 131,072 times.
    const block = Buffer.from([0x02, 0x00, 0x10, 0x61]);
    const bomb = Buffer.concat([
      Buffer.from("28b52ffd0038", "hex"),
      ...Array.from({ length: 100 }, () => block),
      Buffer.from([1, 0, 0]),
    ]);
    expect((await refused(inflate(bomb, { limits: { ratioFreeBytes: 2 ** 20 } }))).message).toContain("200-fold");
    expect(await inflate(bomb)).toHaveLength(100 * 131_072);
  });
});
