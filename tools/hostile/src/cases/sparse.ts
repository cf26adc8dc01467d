import { aFile, holds, type HostileCase, IMPLIED, refused, EVERY_FORMAT } from "../hostile-case.js";
import { imageOf } from "../image-layout.js";
import { pax, paxRecord } from "../pax-bytes.js";
import { body, file, GNU_MAGIC, header, tar } from "../tar-bytes.js";

const GIB = 2 ** 30;

/** A file with its map in PAX records (format 0.1). */
function mapped(map: string, count: number, size: number, data = ""): Buffer {
  const records = { "GNU.sparse.map": map, "GNU.sparse.numblocks": `${count}`, "GNU.sparse.size": `${size}` };
  return Buffer.concat([pax(records), file("s", data)]);
}

/** A file with its map before its data (format 1.0). */
function mapInData(map: string, size: number, stored: Uint8Array = body(map)): Buffer {
  const records = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": `${size}` };
  return Buffer.concat([pax(records), file("s", stored)]);
}

function refusedMap(title: string, rule: string, bytes: () => Uint8Array): HostileCase {
  return {
    row: 60,
    title,
    rule: "refuse",
    files: () => imageOf(tar(bytes())),
    expected: refused("cannot read layer", rule),
  };
}

/** Files with holes: of any size, of too many, in the wrong places. */
export const sparseCases: readonly HostileCase[] = [
  {
    row: 59,
    title: "a hole of 1 TiB is over the quota",
    rule: "refuse",
    files: () => imageOf(tar(mapped("0,1", 1, 2 ** 40, "x"))),
    expected: refused('"s"', "over 549755813888 bytes"),
  },
  {
    row: 59,
    title: "holes of 300 GiB twice are over the quota together",
    rule: "refuse",
    files: () => imageOf(tar(mapped("0,1", 1, 300 * GIB, "x"), mapped("0,1", 1, 300 * GIB, "x"))),
    expected: refused('"s"', "over 549755813888 bytes"),
  },
  {
    row: 59,
    title: "a hole of 64 GiB within the quota takes no room on the disk",
    rule: "accept",
    files: () => imageOf(tar(mapped("0,1", 1, 64 * GIB, "x"))),
    expected: holds({ s: { kind: "file", size: 64 * GIB } }),
    formats: ["ext4"],
    withoutContents: true,
  },
  refusedMap("a sparse map of a million ranges is refused", "over 262144 extents", () => mapInData("1000000\n", 99)),
  refusedMap("a sparse map without an end is refused", "over 1048576 bytes", () =>
    mapInData("", 99, Buffer.alloc(2 ** 21, "1")),
  ),
  refusedMap("an old sparse map without an end is refused", "over 1048576 bytes", () => {
    const more = Buffer.alloc(512);
    more[504] = 1;
    return Buffer.concat([gnuSparse("\x01"), ...Array.from({ length: 2100 }, () => more)]);
  }),
  refusedMap("sparse ranges that overlap are refused", "overlap", () => mapped("0,5,4,1", 2, 10, "abcdef")),
  refusedMap("sparse ranges out of order are refused", "out of order", () => mapped("5,1,0,1", 2, 10, "ab")),
  refusedMap("a sparse range beyond the size is refused", "beyond the file's size", () =>
    mapped("5,6", 1, 10, "abcdef"),
  ),
  refusedMap("a sparse range that overflows is refused", "beyond the file's size", () =>
    mapped("9223372036854775807,1", 1, 10, "a"),
  ),
  refusedMap("a sparse range of negative length is refused", "not one", () => mapped("0,-1", 1, 10, "a")),
  refusedMap("a sparse map with more ranges than promised is refused", "1 ranges it promises", () =>
    mapped("0,1,2,1", 1, 10, "ab"),
  ),
  refusedMap("a sparse map with fewer ranges than promised is refused", "2 ranges it promises", () =>
    mapped("0,1", 2, 10, "a"),
  ),
  refusedMap("a sparse map with a comma too many is refused", "not one", () => mapped("0,1,", 1, 10, "a")),
  refusedMap("a sparse map that has less than the archive is refused", "1 bytes of data", () =>
    mapped("0,1", 1, 10, "ab"),
  ),
  refusedMap("a sparse map that has more than the archive is refused", "2 bytes of data", () =>
    mapped("0,2", 1, 10, "a"),
  ),
  refusedMap("sparse offsets and lengths that do not take turns are refused", "take turns", () =>
    Buffer.concat([pax(paxRecord("GNU.sparse.numbytes", "1")), file("s", "a")]),
  ),
  refusedMap("a sparse size that is negative is refused", "size is negative", () => mapped("0,1", 1, -5, "a")),
  refusedMap("a sparse map that is no number is refused", "not one", () => mapInData("x\n", 10)),
  refusedMap("data that ends inside the sparse map is refused", "ends inside the sparse map", () =>
    mapInData("2\n0\n", 10),
  ),
  refusedMap("a sparse directory is refused", "cannot be sparse", () =>
    Buffer.concat([pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0" }), header("d", { type: "5" })]),
  ),
  refusedMap("an old sparse map in a ustar header is refused", "only a GNU header", () => header("s", { type: "S" })),
  {
    title: "a sparse file's name climbs no higher than the root",
    rule: "contain",
    files: () =>
      imageOf(
        tar(
          pax({
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "../../etc/x",
            "GNU.sparse.realsize": "5",
          }),
          file("s", Buffer.concat([body("1\n4\n1\n"), Buffer.from("!")])),
        ),
      ),
    expected: holds({ etc: IMPLIED, "etc/x": aFile("\0\0\0\0!") }),
  },
  {
    title: "a sparse file's name with a NUL is refused",
    rule: "refuse",
    files: () =>
      imageOf(
        tar(
          pax({
            "GNU.sparse.map": "0,0",
            "GNU.sparse.numblocks": "1",
            "GNU.sparse.size": "0",
            "GNU.sparse.name": "a\0b",
          }),
          file("s"),
        ),
      ),
    expected: refused("the name has a NUL"),
  },
  {
    title: "a sparse file of nothing but a hole is zeros",
    rule: "accept",
    files: () => imageOf(tar(mapped("10,0", 1, 10), file("after", "in"))),
    expected: holds({ s: aFile("\0".repeat(10)), after: aFile("in") }),
  },
  {
    title: "an old sparse file of GNU's is put together",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () => imageOf(tar(gnuSparse("\0"), body("ab"), file("after", "in"))),
    expected: holds({ s: aFile("\0\0\0ab\0\0\0\0\0"), after: aFile("in") }),
  },
  {
    title: "a sparse version that nobody knows is a plain file",
    rule: "accept",
    files: () =>
      imageOf(tar(pax({ "GNU.sparse.major": "9", "GNU.sparse.minor": "9", "GNU.sparse.size": "99" }), file("s", "in"))),
    expected: holds({ s: aFile("in") }),
  },
];

/** Ten bytes with data from 3 to 5, and whether extension blocks follow. */
function gnuSparse(extended: string): Buffer {
  return header("s", {
    type: "S",
    magic: GNU_MAGIC,
    size: 2,
    prefix: "",
    over: {
      386: "00000000003\0",
      398: "00000000002\0",
      482: extended,
      483: "00000000012\0",
    },
  });
}
