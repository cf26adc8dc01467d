import { aFile, holds, type HostileCase, refused } from "../hostile-case.js";
import { crc32, gzip, gzipZeros } from "../gzip-bytes.js";
import { image, LAYER, LAYER_GZIP, LAYER_ZSTD, packed } from "../image-layout.js";
import { body, END, file, header, tar } from "../tar-bytes.js";
import { skippable, zstd, zstdZeros } from "../zstd-bytes.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TAR = tar(file("f", "in"), file("g", "x".repeat(1000)));
const TREE = holds({ f: aFile("in"), g: aFile("x".repeat(1000)) });
const HALF = 700;

function gzipped(blob: Uint8Array, content: Uint8Array = TAR): ReturnType<HostileCase["files"]> {
  return image([packed(blob, LAYER_GZIP, content)]);
}

function zstandard(blob: Uint8Array, content: Uint8Array = TAR): ReturnType<HostileCase["files"]> {
  return image([packed(blob, LAYER_ZSTD, content)]);
}

function refusedBlob(
  row: number | undefined,
  title: string,
  words: readonly string[],
  files: HostileCase["files"],
): HostileCase {
  return { ...(row !== undefined && { row }), title, rule: "refuse", files, expected: refused(...words) };
}

function withFlags(flags: number, extra: string): Buffer {
  return gzip(TAR, { flags, extra: Buffer.from(extra, "latin1") });
}

/** FHCRC: the low half of the check value over the header before it. */
function headerCheck(): string {
  const check = crc32(Buffer.from([0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 0xff]));
  return String.fromCharCode(check & 0xff, (check >> 8) & 0xff);
}

/** Bombs, and streams that decoders read differently or not to their end. */
export const compressionCases: readonly HostileCase[] = [
  refusedBlob(67, "a gzip bomb of one file is refused", ["over 200-fold"], () =>
    gzipped(gzipZeros(header("bomb", { size: 6 * GIB }), 6 * GIB, 0).bytes),
  ),
  refusedBlob(67, "a gzip bomb behind the tar's end is refused", ["over 200-fold"], () =>
    gzipped(gzipZeros(tar(file("f", "in")), 6 * GIB, 0).bytes),
  ),
  refusedBlob(67, "a zstd bomb is refused", ["over 200-fold"], () =>
    zstandard(zstdZeros(header("bomb", { size: 6 * GIB }), (6 * GIB) / (128 * 1024))),
  ),
  refusedBlob(67, "a layer that is compressed twice is refused", ["at byte 0", "checksum is wrong"], () =>
    gzipped(gzip(gzip(TAR)), gzip(TAR)),
  ),
  {
    row: 67,
    title: "a file of 64 MiB of zeros packed a thousandfold is no bomb",
    rule: "accept",
    files: () => {
      const { bytes, zeroBytes } = gzipZeros(header("zeros", { size: 64 * MIB }), 64 * MIB + 1024);
      return gzipped(bytes, Buffer.concat([header("zeros", { size: 64 * MIB }), Buffer.alloc(zeroBytes)]));
    },
    expected: holds({ zeros: { kind: "file", size: 64 * MIB } }),
    formats: ["ext4"],
    withoutContents: true,
  },
  refusedBlob(68, "a zstd window of 2 GiB is refused", ["window of over 134217728 bytes"], () =>
    zstandard(zstd(TAR, { fields: [21 << 3] })),
  ),
  refusedBlob(68, "a zstd frame of one segment of 2^62 bytes is refused", ["window of over 134217728 bytes"], () =>
    zstandard(zstd(TAR, { descriptor: 0xe0, fields: [0, 0, 0, 0, 0, 0, 0, 0x40] })),
  ),
  {
    row: 69,
    title: "several gzip members are one stream",
    rule: "accept",
    files: () =>
      gzipped(Buffer.concat([gzip(TAR.subarray(0, HALF)), gzip(new Uint8Array()), gzip(TAR.subarray(HALF))])),
    expected: TREE,
  },
  {
    row: 69,
    title: "20,000 empty gzip members before the data are read in time",
    rule: "accept",
    files: () => {
      const empty = gzip(new Uint8Array());
      return gzipped(Buffer.concat([...Array.from({ length: 20_000 }, () => empty), gzip(TAR)]));
    },
    expected: TREE,
  },
  refusedBlob(70, "bytes after a gzip stream are refused", ["gzip stream is damaged"], () =>
    gzipped(Buffer.concat([gzip(TAR), Buffer.from("#!/bin/sh\n")])),
  ),
  refusedBlob(70, "zeros after a gzip stream are refused", ["gzip stream is damaged"], () =>
    gzipped(Buffer.concat([gzip(TAR), Buffer.alloc(512)])),
  ),
  refusedBlob(70, "half a member after a gzip stream is refused", ["gzip stream is damaged"], () =>
    gzipped(Buffer.concat([gzip(TAR), gzip(TAR).subarray(0, 9)])),
  ),
  refusedBlob(70, "bytes after a zstd stream are refused", ["zstd stream is damaged"], () =>
    zstandard(Buffer.concat([zstd(TAR), Buffer.from("#!/bin/sh\n")])),
  ),
  refusedBlob(71, "a wrong gzip check value is refused", ["gzip stream is damaged"], () =>
    gzipped(gzip(TAR, { crc: crc32(TAR) ^ 1 })),
  ),
  refusedBlob(71, "a wrong gzip size is refused", ["gzip stream is damaged"], () =>
    gzipped(gzip(TAR, { size: TAR.length + 1 })),
  ),
  refusedBlob(71, "a gzip stream cut off in its data is refused", ["gzip stream is damaged"], () =>
    gzipped(gzip(TAR).subarray(0, 900)),
  ),
  refusedBlob(71, "a gzip stream cut off in its check value is refused", ["gzip stream is damaged"], () =>
    gzipped(gzip(TAR).subarray(0, -4)),
  ),
  refusedBlob(71, "a zstd frame that is cut off is refused", ["zstd stream is damaged"], () =>
    zstandard(zstd(TAR).subarray(0, 900)),
  ),
  refusedBlob(71, "a wrong zstd check value is refused", ["zstd stream is damaged"], () =>
    zstandard(zstd(TAR, { descriptor: 0x04, tail: Buffer.from("bad!") })),
  ),
  refusedBlob(71, "a wrong zstd content size is refused", ["zstd stream is damaged"], () =>
    zstandard(zstd(TAR, { descriptor: 0x80, fields: [10 << 3, 0, 0, 1, 0] })),
  ),
  {
    row: 72,
    title: "several zstd frames with skippable ones among them are one stream",
    rule: "accept",
    files: () =>
      zstandard(
        Buffer.concat([
          skippable(Buffer.from("first"), 3),
          zstd(TAR.subarray(0, HALF)),
          skippable(Buffer.alloc(0), 15),
          zstd(TAR.subarray(HALF)),
          skippable(Buffer.alloc(100_000, "s")),
        ]),
      ),
    expected: TREE,
  },
  refusedBlob(72, "a zstd frame that needs a dictionary is refused", ["dictionary"], () =>
    zstandard(zstd(TAR, { descriptor: 0x01, fields: [10 << 3, 7] })),
  ),
  refusedBlob(72, "a zstd frame with a reserved bit is refused", ["zstd stream is damaged"], () =>
    zstandard(zstd(TAR, { descriptor: 0x08 })),
  ),
  refusedBlob(72, "a skippable zstd frame that is cut off is refused", ["zstd stream is damaged"], () =>
    zstandard(Buffer.concat([zstd(TAR), skippable(Buffer.alloc(100)).subarray(0, 50)])),
  ),
  refusedBlob(73, "an xz layer is refused", ["xz"], () =>
    image([packed(Buffer.from("fd377a585a000004e6d6b446", "hex"), LAYER_GZIP)]),
  ),
  refusedBlob(73, "a bzip2 layer is refused", ["bzip2"], () =>
    image([packed(Buffer.from("425a6839314159265359", "hex"), LAYER_GZIP)]),
  ),
  refusedBlob(73, "a media type of another compression is refused", ["tar+xz"], () =>
    image([packed(TAR, `${LAYER}+xz`)]),
  ),
  refusedBlob(undefined, "an lz4 layer is refused", ["lz4"], () =>
    image([packed(Buffer.from("04224d186040827f", "hex"), LAYER_GZIP)]),
  ),
  {
    title: "the bytes say how a layer is compressed, whatever its media type says",
    rule: "accept",
    files: () =>
      image([
        packed(gzip(tar(file("f", "in"))), LAYER, tar(file("f", "in"))),
        packed(zstd(tar(file("g", "x".repeat(1000)))), LAYER_GZIP, tar(file("g", "x".repeat(1000)))),
      ]),
    expected: TREE,
  },
  {
    title: "gzip's optional fields are passed over",
    rule: "accept",
    files: () =>
      image(
        [
          withFlags(4, "\x05\0extra"),
          withFlags(8, "../../evil\0"),
          withFlags(16, "comment\0"),
          withFlags(2, headerCheck()),
        ].map((blob) => packed(blob, LAYER_GZIP, TAR)),
      ),
    expected: TREE,
  },
  refusedBlob(undefined, "a reserved flag of gzip is refused", ["gzip stream is damaged"], () =>
    gzipped(withFlags(0x40, "")),
  ),
  refusedBlob(undefined, "a gzip header and nothing more is refused", ["gzip stream is damaged"], () =>
    gzipped(gzip(TAR).subarray(0, 10)),
  ),
  {
    title: "a tar that begins like bzip2 is a tar",
    rule: "accept",
    files: () => image([packed(tar(file("BZh is a name", "in")), LAYER)]),
    expected: holds({ "BZh is a name": aFile("in") }),
  },
  {
    title: "a file whose content is a gzip bomb is a file",
    rule: "accept",
    files: () => {
      const bomb = gzipZeros(Buffer.alloc(0), GIB, 0).bytes;
      return image([packed(Buffer.concat([header("bomb.gz", { size: bomb.length }), body(bomb), END]), LAYER)]);
    },
    expected: holds({ "bomb.gz": { kind: "file" } }),
    withoutContents: true,
  },
];
