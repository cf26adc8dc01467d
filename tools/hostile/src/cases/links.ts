import { aDirectory, aFile, aSymlink, holds, type HostileCase, IMPLIED, refused } from "../hostile-case.js";
import { imageOf } from "../image-layout.js";
import { pax } from "../pax-bytes.js";
import { directory, file, hardLink, symlink, tar } from "../tar-bytes.js";

const inEtc = { etc: IMPLIED, "etc/x": aFile("in") };
const passwd = { etc: IMPLIED, "etc/passwd": aFile("image", { links: 2 }) };

/** Links that lead out of the image, in circles, or to what is not there. */
export const linkCases: readonly HostileCase[] = [
  {
    row: 5,
    title: "a file through a symlink to /etc is in the image's /etc",
    rule: "contain",
    files: () => imageOf(tar(symlink("l", "/etc"), file("l/x", "in"))),
    expected: holds({ l: aSymlink("/etc"), ...inEtc }),
  },
  {
    row: 6,
    title: "a file through a symlink to ../../../etc is in the image's /etc",
    rule: "contain",
    files: () => imageOf(tar(symlink("l", "../../../etc"), file("l/x", "in"))),
    expected: holds({ l: aSymlink("../../../etc"), ...inEtc }),
  },
  {
    row: 7,
    title: "a file through a chain of symlinks is in the image's /etc",
    rule: "contain",
    files: () => imageOf(tar(symlink("l", "d"), symlink("d", "/etc")), tar(file("l/x", "in"))),
    expected: holds({ l: aSymlink("d"), d: aSymlink("/etc"), ...inEtc }),
  },
  {
    row: 8,
    title: "a file through a loop of symlinks is refused",
    rule: "refuse",
    files: () => imageOf(tar(symlink("a", "b"), symlink("b", "a"), file("a/x"))),
    expected: refused('"a/x"', "symlinks"),
  },
  {
    row: 9,
    title: "symlinks to .. below one another stay in the image",
    rule: "contain",
    files: () =>
      imageOf(
        tar(
          directory("sub"),
          symlink("sub/parent", ".."),
          symlink("sub/parent/esc", ".."),
          file("sub/parent/esc/x", "in"),
        ),
      ),
    expected: holds({ sub: aDirectory(), "sub/parent": aSymlink(".."), esc: aSymlink(".."), x: aFile("in") }),
  },
  {
    row: 10,
    title: "a directory over a symlink replaces it and changes nothing outside (CVE-2026-33056)",
    rule: "contain",
    files: () =>
      imageOf(
        tar(directory("outside", { mode: 0o700 }), symlink("d", "/outside"), directory("d/", { mode: 0o777 })),
        tar(file("d/x", "in")),
      ),
    expected: holds({
      outside: aDirectory({ mode: 0o700 }),
      d: aDirectory({ mode: 0o777 }),
      "d/x": aFile("in"),
    }),
  },
  {
    row: 11,
    title: "a file over a symlink replaces it and its target keeps its content",
    rule: "contain",
    files: () =>
      imageOf(
        tar(file("t", "old"), symlink("s", "t"), file("s", "new"), symlink("u", "/etc/passwd"), file("u", "new")),
      ),
    expected: holds({ t: aFile("old"), s: aFile("new"), u: aFile("new") }),
  },
  {
    row: 12,
    title: "a sibling whose name begins like the target's is not outside by accident (CVE-2025-59343)",
    rule: "contain",
    files: () => imageOf(tar(symlink("l", "../disk-evil"), file("l/x", "in"), file("../work-evil/y", "in"))),
    expected: holds({
      l: aSymlink("../disk-evil"),
      "disk-evil": IMPLIED,
      "disk-evil/x": aFile("in"),
      "work-evil": IMPLIED,
      "work-evil/y": aFile("in"),
    }),
  },
  {
    row: 13,
    title: "a hard link to /etc/passwd links the image's file (CVE-2026-23745)",
    rule: "contain",
    files: () => imageOf(tar(file("etc/passwd", "image"), hardLink("h", "/etc/passwd"))),
    expected: holds({ ...passwd, h: aFile("image", { links: 2 }) }),
  },
  {
    row: 13,
    title: "a hard link to a /etc/passwd that the image has not is refused",
    rule: "refuse",
    files: () => imageOf(tar(hardLink("h", "/etc/passwd"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    row: 14,
    title: "a hard link to ../../etc/passwd links the image's file",
    rule: "contain",
    files: () => imageOf(tar(file("etc/passwd", "image"), hardLink("h", "../../etc/passwd"))),
    expected: holds({ ...passwd, h: aFile("image", { links: 2 }) }),
  },
  {
    row: 14,
    title: "a hard link through a symlink to / reaches the image's files alone",
    rule: "refuse",
    files: () => imageOf(tar(symlink("l", "/"), hardLink("h", "l/etc/passwd"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    row: 15,
    title: "a hard link to a symlink is a second name of the symlink",
    rule: "accept",
    files: () => imageOf(tar(symlink("s", "/etc/passwd"), hardLink("h", "s"))),
    expected: holds({ s: aSymlink("/etc/passwd", { links: 2 }), h: aSymlink("/etc/passwd", { links: 2 }) }),
  },
  {
    row: 16,
    title: "a hard link before its target is refused",
    rule: "refuse",
    files: () => imageOf(tar(hardLink("h", "f"), file("f"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    row: 17,
    title: "a hard link to a directory is refused",
    rule: "refuse",
    files: () => imageOf(tar(directory("d"), hardLink("h", "d"))),
    expected: refused('"h"', "is a directory"),
  },
  {
    row: 17,
    title: "a hard link to the root is refused",
    rule: "refuse",
    files: () => imageOf(tar(hardLink("h", "../.."))),
    expected: refused('"h"', "is a directory"),
  },
  {
    row: 17,
    title: "a hard link to itself is refused",
    rule: "refuse",
    files: () => imageOf(tar(hardLink("h", "h"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    row: 17,
    title: "a hard link to nothing is refused",
    rule: "refuse",
    files: () => imageOf(tar(hardLink("h", "gone"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    row: 17,
    title: "a hard link without a target is refused",
    rule: "refuse",
    files: () => imageOf(tar(hardLink("h", ""))),
    expected: refused('"h"', "no target"),
  },
  {
    row: 18,
    title: "a hard link to a file of a lower layer is a second name of it",
    rule: "accept",
    files: () => imageOf(tar(file("f", "low")), tar(hardLink("h", "f"))),
    expected: holds({ f: aFile("low", { links: 2 }), h: aFile("low", { links: 2 }) }),
  },
  {
    row: 19,
    title: "a hard link to a lower file after the whiteout of it is refused",
    rule: "refuse",
    files: () => imageOf(tar(file("f", "low")), tar(file(".wh.f"), hardLink("h", "f"))),
    expected: refused('"h"', "hard link is not there"),
  },
  {
    row: 20,
    title: "a path through a file is refused",
    rule: "refuse",
    files: () => imageOf(tar(file("f"), file("f/x"))),
    expected: refused('"f/x"', "not a directory"),
  },
  {
    title: "a path through a fifo of a lower layer is refused",
    rule: "refuse",
    files: () => imageOf(tar(header6("p")), tar(file("p/x"))),
    expected: refused('"p/x"', "not a directory"),
  },
  {
    title: "a hard link before the whiteout of its target keeps the content",
    rule: "accept",
    files: () => imageOf(tar(file("f", "low")), tar(hardLink("h", "f"), file(".wh.f"))),
    expected: holds({ h: aFile("low", { links: 1 }) }),
  },
  {
    title: "a hard link that replaces the parent of its own target is refused",
    rule: "refuse",
    files: () => imageOf(tar(file("d/f", "in"), hardLink("d", "d/f"))),
    expected: refused('"d"', "hard link is not there"),
  },
  {
    title: "symlinks that double at each step end in an error, not in a hang",
    rule: "refuse",
    files: () =>
      imageOf(
        tar(
          symlink("s0", "."),
          ...Array.from({ length: 60 }, (_, level) => symlink(`s${level + 1}`, `s${level}/s${level}`)),
          file("s60/x"),
        ),
      ),
    expected: refused('"s60/x"', "symlinks"),
  },
  {
    title: "a symlink whose target has 4096 bytes is refused",
    rule: "refuse",
    files: () => imageOf(tar(pax({ linkpath: "t".repeat(4096) }), symlink("s", "t"))),
    expected: refused('"s"', "over 4095 bytes"),
  },
  {
    title: "a symlink without a target is refused",
    rule: "refuse",
    files: () => imageOf(tar(symlink("s", ""))),
    expected: refused('"s"', "no target"),
  },
  {
    title: "symlinks into /proc, /dev and /sys are links and nothing more",
    rule: "contain",
    files: () =>
      imageOf(tar(symlink("p", "/proc/self/root"), file("p/x", "in"), symlink("d", "/dev/sda"), file("d", "in"))),
    expected: holds({
      p: aSymlink("/proc/self/root"),
      proc: IMPLIED,
      "proc/self": IMPLIED,
      "proc/self/root": IMPLIED,
      "proc/self/root/x": aFile("in"),
      d: aFile("in"),
    }),
  },
  {
    title: "an upper layer's symlink does not lead lower files elsewhere",
    rule: "contain",
    files: () => imageOf(tar(file("d/x", "low")), tar(symlink("d", "/etc")), tar(file("d/x", "in"))),
    expected: holds({ d: aSymlink("/etc"), ...inEtc }),
  },
];

function header6(name: string): Buffer {
  return file(name, "", { type: "6" });
}
