import { aDirectory, aFile, aSymlink, holds, type HostileCase, refused } from "../hostile-case.js";
import { image, imageOf, packed, LAYER } from "../image-layout.js";
import { pax } from "../pax-bytes.js";
import {
  base256,
  body,
  directory,
  END,
  file,
  gnuLong,
  GNU_MAGIC,
  hardLink,
  header,
  symlink,
  tar,
  V7_MAGIC,
} from "../tar-bytes.js";

/** A file inside a file: who takes the wrong size sees `smuggled`. */
const SMUGGLED: Buffer = tar(file("smuggled", "out"));
const AS_TEXT = SMUGGLED.toString("latin1");

function refusedTar(
  row: number | undefined,
  title: string,
  words: readonly string[],
  bytes: () => Uint8Array,
): HostileCase {
  return {
    ...(row !== undefined && { row }),
    title,
    rule: "refuse",
    files: () => imageOf(bytes()),
    expected: refused("cannot read layer", ...words),
  };
}

/** Numbers, types, bodies and ends that readers of tar disagree on. */
export const headerCases: readonly HostileCase[] = [
  {
    row: 41,
    title: "PAX size overrides ustar 0 (CVE-2025-62518)",
    rule: "accept",
    files: () =>
      imageOf(tar(pax({ size: `${SMUGGLED.length}` }), header("f", { size: 0 }), SMUGGLED, file("after", "in"))),
    expected: holds({ f: aFile(AS_TEXT), after: aFile("in") }),
  },
  {
    row: 41,
    title: "PAX size 0 overrides ustar's",
    rule: "accept",
    files: () => imageOf(tar(pax({ size: "0" }), header("f", { size: 1024 }), file("seen", "in"))),
    expected: holds({ f: aFile(""), seen: aFile("in") }),
  },
  {
    row: 42,
    title: "a PAX size before a long name is the file's, not the name's (CVE-2026-53655)",
    rule: "accept",
    files: () =>
      imageOf(
        tar(
          pax({ size: `${SMUGGLED.length}` }),
          gnuLong("L", "long"),
          header("f", { size: 0 }),
          SMUGGLED,
          file("after"),
        ),
      ),
    expected: holds({ long: aFile(AS_TEXT), after: aFile("") }),
  },
  {
    row: 42,
    title: "a PAX size before a long link target is the file's",
    rule: "accept",
    files: () =>
      imageOf(tar(pax({ size: "512" }), gnuLong("K", "target"), header("f", { size: 0 }), body("x".repeat(512)))),
    expected: holds({ f: aFile("x".repeat(512)) }),
  },
  refusedTar(43, "a negative size in base-256 is refused", ["size is negative"], () =>
    tar(file("f", "", { magic: GNU_MAGIC, size: base256(-1n, 12) })),
  ),
  refusedTar(43, "a negative size of an extended header is refused", ["size is negative"], () =>
    tar(header("x", { type: "x", size: base256(-512n, 12) })),
  ),
  refusedTar(44, "a size of 2^53 in base-256 is refused", ['"f"', "size is over 9007199254740991"], () =>
    tar(header("f", { magic: GNU_MAGIC, size: base256(2n ** 53n, 12) })),
  ),
  refusedTar(44, "a size of over 63 bits is refused", ["size is not a number"], () =>
    tar(header("f", { magic: GNU_MAGIC, size: Buffer.from("bfffffffffffffffffffffff", "hex") })),
  ),
  refusedTar(46, "an octal size zz1 is refused", ["size is not a number"], () => tar(header("f", { size: "zz1" }))),
  refusedTar(46, "an octal size with the digit 8 is refused", ["size is not a number"], () =>
    tar(header("f", { size: "00000000008" })),
  ),
  refusedTar(46, "an octal size with a sign is refused", ["size is not a number"], () =>
    tar(header("f", { size: "-0000000001" })),
  ),
  refusedTar(46, "an octal size of two numbers is refused", ["size is not a number"], () =>
    tar(header("f", { size: "0001 000001" })),
  ),
  refusedTar(46, "an octal mode of letters is refused", ["mode is not a number"], () =>
    tar(header("f", { mode: "rwxr-xr" })),
  ),
  refusedTar(52, "an entry after one block of zeros is refused", ["zero"], () =>
    Buffer.concat([file("f"), Buffer.alloc(512), file("g"), END]),
  ),
  {
    row: 53,
    title: "entries after the end are passed over, and are hashed",
    rule: "ignore",
    files: () => imageOf(Buffer.concat([tar(file("f", "in")), file("hidden", "out"), Buffer.alloc(100, 0xff)])),
    expected: holds({ f: aFile("in") }),
  },
  {
    row: 53,
    title: "entries after the end that the diffID leaves out are refused",
    rule: "refuse",
    files: () => {
      const seen = tar(file("f", "in"));
      return image([packed(Buffer.concat([seen, file("hidden", "out")]), LAYER, seen)]);
    },
    expected: refused("the tar's digest is"),
  },
  refusedTar(54, "a wrong checksum midway is refused", ["checksum is wrong"], () =>
    tar(file("f", "x"), header("g", { checksum: "0012345\0" }), file("h")),
  ),
  refusedTar(54, "a layer that is no tar is refused", ["at byte 0", "checksum is wrong"], () =>
    Buffer.from("#!/bin/sh\nexit 0\n".padEnd(1024, "\n")),
  ),
  {
    row: 55,
    title: "a link with a size has no body: the next block is a header",
    rule: "accept",
    files: () =>
      imageOf(
        tar(
          file("f", "in"),
          hardLink("h", "f", { size: 512 }),
          symlink("s", "f", { size: 4096 }),
          directory("d", { size: 1 }),
          header("p", { type: "6", size: 77 }),
          file("seen", "in"),
        ),
      ),
    expected: holds({
      f: aFile("in", { links: 2 }),
      h: aFile("in", { links: 2 }),
      s: aSymlink("f"),
      d: aDirectory(),
      p: { kind: "fifo" },
      seen: aFile("in"),
    }),
  },
  refusedTar(56, "a tar cut off in a header is refused", ["ends inside a block"], () =>
    Buffer.concat([file("f", "x"), header("g").subarray(0, 300)]),
  ),
  refusedTar(56, "a tar cut off in a body is refused", ['"f"', "ends inside a data"], () =>
    file("f", "x".repeat(2000)).subarray(0, 1500),
  ),
  refusedTar(56, "a tar cut off in the padding is refused", ['"f"', "ends inside a padding"], () =>
    file("f", "x".repeat(600)).subarray(0, 1300),
  ),
  refusedTar(56, "a tar cut off in an extended header is refused", ["ends inside a data"], () =>
    pax({ path: "p".repeat(900) }).subarray(0, 1024),
  ),
  {
    row: 57,
    title: "a tar without an end marker is taken",
    rule: "accept",
    files: () => imageOf(file("f", "in"), new Uint8Array()),
    expected: holds({ f: aFile("in") }),
  },
  ...["Z", "V", "M", "D", "N", "A", "X", "8", "\x80"].map((type) =>
    refusedTar(
      58,
      `an entry of type 0x${type.charCodeAt(0).toString(16)} is refused`,
      [`type 0x${type.charCodeAt(0).toString(16)}`],
      () => tar(header("f", { type, magic: GNU_MAGIC })),
    ),
  ),
  {
    row: 61,
    title: "an old header whose name ends with a slash is a directory",
    rule: "accept",
    files: () =>
      imageOf(
        tar(
          header("d/", { type: "\0", magic: V7_MAGIC, size: 600, mode: 0o755 }),
          file("d/f", "in", { type: "\0", magic: V7_MAGIC }),
        ),
      ),
    expected: holds({ d: aDirectory(), "d/f": aFile("in") }),
  },
  {
    row: 66,
    title: "of a file, a directory and a symlink of one path the last one wins",
    rule: "accept",
    files: () =>
      imageOf(
        tar(
          file("p", "1"),
          directory("p/"),
          file("p/x", "2"),
          symlink("p", "q"),
          file("r", "3"),
          symlink("r", "q"),
          directory("r/"),
        ),
      ),
    expected: holds({ p: aSymlink("q"), r: aDirectory() }),
  },
  {
    title: "a name of 100 bytes has no NUL behind it",
    rule: "accept",
    files: () => imageOf(tar(file("n".repeat(100), "in", { prefix: "p".repeat(155) }))),
    expected: holds({ ["p".repeat(155)]: aDirectory(), [`${"p".repeat(155)}/${"n".repeat(100)}`]: aFile("in") }),
  },
  {
    title: "a name ends at its first NUL",
    rule: "accept",
    files: () => imageOf(tar(file("f\0../../evil", "in"))),
    expected: holds({ f: aFile("in") }),
  },
  {
    title: "a prefix in an old header is no part of the name",
    rule: "accept",
    files: () => imageOf(tar(file("f", "in", { magic: V7_MAGIC, prefix: "../../evil" }))),
    expected: holds({ f: aFile("in") }),
  },
  {
    title: "a checksum of signed bytes is right as well",
    rule: "accept",
    files: () => imageOf(tar(file("\xe9\xe8", "in", { signedSum: true }))),
    expected: holds({ "\xe9\xe8": aFile("in") }),
  },
  {
    title: "a size in base-256 is a size",
    rule: "accept",
    files: () => imageOf(tar(header("f", { magic: GNU_MAGIC, size: base256(3n, 12) }), body("abc"))),
    expected: holds({ f: aFile("abc") }),
  },
  {
    title: "a long name of the first of two headers does not stay for the second entry",
    rule: "accept",
    files: () => imageOf(tar(gnuLong("L", "first"), file("f", "1"), file("g", "2"))),
    expected: holds({ first: aFile("1"), g: aFile("2") }),
  },
  {
    title: "of two long names the last one counts, up to its NUL",
    rule: "accept",
    files: () => imageOf(tar(gnuLong("L", "one"), gnuLong("L", "two\0../../evil"), file("f", "in"))),
    expected: holds({ two: aFile("in") }),
  },
  {
    title: "a long link target to /etc/passwd is the image's",
    rule: "refuse",
    files: () => imageOf(tar(gnuLong("K", `/etc/${"../".repeat(60)}etc/passwd`), hardLink("h", "x"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    title: "a file of type 7 and one of type NUL are files",
    rule: "accept",
    files: () => imageOf(tar(file("a", "1", { type: "7" }), file("b", "2", { type: "\0" }))),
    expected: holds({ a: aFile("1"), b: aFile("2") }),
  },
  {
    title: "a regular file whose name ends with a slash is a file",
    rule: "accept",
    files: () => imageOf(tar(file("f/", "in", { type: "0" }), file("g", "in"))),
    expected: holds({ f: aFile("in"), g: aFile("in") }),
  },
  {
    title: "a layer of no bytes and a layer of zeros are empty layers",
    rule: "accept",
    files: () => imageOf(new Uint8Array(), Buffer.alloc(64 * 1024), tar(file("f", "in"))),
    expected: holds({ f: aFile("in") }),
  },
];
