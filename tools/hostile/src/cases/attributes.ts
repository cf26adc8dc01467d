import { aDirectory, aFile, holds, type HostileCase, refused, EVERY_FORMAT } from "../hostile-case.js";
import { imageOf } from "../image-layout.js";
import { pax, paxRecord } from "../pax-bytes.js";
import { base256, directory, file, GNU_MAGIC, header, tar } from "../tar-bytes.js";

const KIB = 1024;
/** struct vfs_ns_cap_data, version 3, cap_net_raw. */
const CAPABILITY = "\x01\0\0\x03\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe8\x03\0\0";

function xattrs(count: number): string {
  return Array.from({ length: count }, (_, n) => paxRecord(`SCHILY.xattr.user.${n}`, "x")).join("");
}

/** Attributes beyond what a file system holds, and those that have to come through exactly. */
export const attributeCases: readonly HostileCase[] = [
  {
    row: 64,
    title: "an extended attribute of 65 KiB is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ "SCHILY.xattr.user.big": "x".repeat(65 * KIB) }), file("f"))),
    expected: refused('"f"', "user.big", "over 65536 bytes"),
  },
  {
    row: 64,
    title: "10,000 extended attributes are refused",
    rule: "refuse",
    files: () => imageOf(tar(pax(xattrs(10_000)), file("f"))),
    expected: refused('"f"', "over 1024 extended attributes"),
  },
  {
    row: 64,
    title: "an extended attribute's name of 256 bytes is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ [`SCHILY.xattr.user.${"n".repeat(251)}`]: "x" }), file("f"))),
    expected: refused('"f"', "over 255 bytes"),
  },
  {
    row: 64,
    title: "an extended attribute without a name is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ "SCHILY.xattr.": "x" }), file("f"))),
    expected: refused('"f"', "no name"),
  },
  {
    row: 64,
    title: "hard links that gather extended attributes are refused at the same limit",
    rule: "refuse",
    files: () =>
      imageOf(
        tar(
          file("f"),
          ...Array.from({ length: 20 }, (_, n) => [
            pax(Array.from({ length: 100 }, (_each, at) => paxRecord(`SCHILY.xattr.user.${n}.${at}`, "x")).join("")),
            header(`h${n}`, { type: "1", link: "f" }),
          ]).flat(),
        ),
      ),
    expected: refused("over 1024 extended attributes"),
  },
  {
    row: 65,
    title: "setuid, setgid, sticky and security.capability come through exactly",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () =>
      imageOf(
        tar(
          pax({ "SCHILY.xattr.security.capability": CAPABILITY }),
          file("ping", "in", { mode: 0o6755 }),
          directory("tmp", { mode: 0o1777 }),
        ),
      ),
    expected: holds({
      ping: aFile("in", { mode: 0o6755, xattrs: { "security.capability": CAPABILITY } }),
      tmp: aDirectory({ mode: 0o1777 }),
    }),
  },
  {
    title: "bits of the mode beyond the twelve are left out",
    rule: "ignore",
    files: () => imageOf(tar(file("f", "in", { mode: "7777644" }), file("g", "in", { mode: "0120777" }))),
    expected: holds({ f: aFile("in", { mode: 0o7644 }), g: aFile("in", { mode: 0o777 }) }),
  },
  {
    title: "a device number of over 32 bits is refused",
    rule: "refuse",
    files: () => imageOf(tar(header("n", { type: "3", magic: GNU_MAGIC, major: base256(2n ** 32n, 8) }))),
    expected: refused('"n"', "device number 4294967296"),
  },
  {
    title: "devices are entries of the disk and of nothing else",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () => imageOf(tar(header("sda", { type: "4", major: 8 }), header("mem", { type: "3", major: 1, minor: 1 }))),
    expected: holds({ sda: { kind: "block", device: [8, 0] }, mem: { kind: "char", device: [1, 1] } }),
  },
  {
    title: "an attribute that overlayfs, SELinux or ACLs would mean something by is kept as bytes",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () =>
      imageOf(
        tar(
          pax({
            "SCHILY.xattr.security.selinux": "system_u:object_r:bin_t:s0\0",
            "SCHILY.xattr.user.\xff\xfe": "\0\xff=\n",
            "SCHILY.xattr.user.empty": "",
          }),
          file("f", "in"),
        ),
      ),
    expected: holds({
      f: aFile("in", {
        xattrs: { "security.selinux": "system_u:object_r:bin_t:s0\0", "user.\xff\xfe": "\0\xff=\n", "user.empty": "" },
      }),
    }),
  },
];
