import {
  aDirectory,
  aFile,
  aSymlink,
  holds,
  type HostileCase,
  IMPLIED,
  refused,
  EVERY_FORMAT,
} from "../hostile-case.js";
import { imageOf } from "../image-layout.js";
import { pax } from "../pax-bytes.js";
import { directory, file, symlink, tar } from "../tar-bytes.js";

const OPAQUE = ".wh..wh..opq";

function refusedName(row: number, name: string): HostileCase {
  return {
    row,
    title: `a whiteout named ${name} is refused`,
    rule: "refuse",
    files: () => imageOf(tar(file("etc/passwd", "low")), tar(file(name))),
    expected: refused(`"${name}"`, "does not name anything in its directory"),
  };
}

/** Markers that would remove what they must not, or become files. */
export const whiteoutCases: readonly HostileCase[] = [
  refusedName(28, ".wh."),
  refusedName(28, "etc/.wh."),
  refusedName(29, ".wh.."),
  refusedName(29, "etc/.wh.."),
  refusedName(30, ".wh..."),
  refusedName(30, "etc/.wh..."),
  {
    row: 31,
    title: "an opaque marker in a directory that is not there makes none",
    rule: "accept",
    files: () => imageOf(tar(file("kept", "low")), tar(file(`gone/${OPAQUE}`))),
    expected: holds({ kept: aFile("low") }),
  },
  {
    row: 32,
    title: "an opaque marker after its siblings hides the lower layer's alone",
    rule: "accept",
    files: () =>
      imageOf(tar(file("d/old", "low"), file("d/s/old", "low")), tar(file("d/new", "up"), file(`d/${OPAQUE}`))),
    expected: holds({ d: IMPLIED, "d/new": aFile("up") }),
  },
  {
    row: 33,
    title: "a whiteout before the file of its name leaves the file",
    rule: "accept",
    files: () => imageOf(tar(file("x", "low")), tar(file(".wh.x"), file("x", "up"))),
    expected: holds({ x: aFile("up") }),
  },
  {
    row: 33,
    title: "a whiteout after the file of its name leaves the file",
    rule: "accept",
    files: () => imageOf(tar(file("x", "low")), tar(file("x", "up"), file(".wh.x"))),
    expected: holds({ x: aFile("up") }),
  },
  {
    row: 34,
    title: "a directory named .wh.etc is a directory",
    rule: "accept",
    files: () => imageOf(tar(file("etc/passwd", "low")), tar(directory(".wh.etc/"), file(".wh.etc/f", "up"))),
    expected: holds({
      etc: IMPLIED,
      "etc/passwd": aFile("low"),
      ".wh.etc": aDirectory(),
      ".wh.etc/f": aFile("up"),
    }),
  },
  {
    row: 35,
    title: "a whiteout through a symlink to /etc acts in the image's /etc",
    rule: "contain",
    files: () => imageOf(tar(file("etc/x", "low"), file("etc/y", "low"), symlink("l", "/etc")), tar(file("l/.wh.x"))),
    expected: holds({ etc: IMPLIED, "etc/y": aFile("low"), l: aSymlink("/etc") }),
  },
  {
    row: 36,
    title: "a whiteout with a body is a whiteout, its body no file",
    rule: "accept",
    files: () => imageOf(tar(file("x", "low")), tar(file(".wh.x", "b".repeat(1500)), file("y", "up"))),
    expected: holds({ y: aFile("up") }),
  },
  {
    row: 37,
    title: "a whiteout of nothing does nothing",
    rule: "accept",
    files: () => imageOf(tar(file("x", "low")), tar(file(".wh.gone"), file("gone/too/.wh.f"))),
    expected: holds({ x: aFile("low") }),
  },
  {
    row: 38,
    title: "what aufs left behind is passed over",
    rule: "ignore",
    files: () =>
      imageOf(
        tar(
          directory(".wh..wh.plnk/"),
          file(".wh..wh.plnk/12.34", "body"),
          file(".wh..wh.aufs"),
          file("d/.wh..wh.orph", "body"),
          file("kept", "in"),
        ),
      ),
    expected: holds({ kept: aFile("in") }),
  },
  {
    row: 39,
    title: "a character device 0:0 is a device, not overlayfs' whiteout",
    rule: "accept",
    files: () => imageOf(tar(file("x", "low")), tar(file("x", "", { type: "3", major: 0, minor: 0 }))),
    expected: holds({ x: { kind: "char", device: [0, 0] } }),
  },
  {
    row: 40,
    title: "overlayfs' attributes are attributes and hide nothing",
    rule: "accept",
    formats: EVERY_FORMAT,
    files: () =>
      imageOf(
        tar(file("d/low", "low")),
        tar(
          pax({
            "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.trusted.overlay.redirect": "/etc",
            "SCHILY.xattr.user.overlay.whiteout": "y",
          }),
          directory("d"),
        ),
      ),
    expected: holds({
      d: aDirectory({
        xattrs: {
          "trusted.overlay.opaque": "y",
          "trusted.overlay.redirect": "/etc",
          "user.overlay.whiteout": "y",
        },
      }),
      "d/low": aFile("low"),
    }),
  },
  {
    title: "a whiteout named ../../.wh.x acts at the image's root",
    rule: "contain",
    files: () => imageOf(tar(file("x", "low"), file("d/x", "low")), tar(file("d/../../.wh.x"))),
    expected: holds({ d: IMPLIED, "d/x": aFile("low") }),
  },
  {
    title: "a whiteout below a file is refused",
    rule: "refuse",
    files: () => imageOf(tar(file("f", "low")), tar(file("f/.wh.x"))),
    expected: refused('"f/x"', "not a directory"),
  },
  {
    title: "an opaque marker at the root hides all that is below",
    rule: "accept",
    files: () => imageOf(tar(file("a/b", "low"), file("c", "low")), tar(file("d", "up"), file(OPAQUE))),
    expected: holds({ d: aFile("up") }),
  },
  {
    title: "a whiteout of a directory leaves what its own layer puts into it",
    rule: "accept",
    files: () => imageOf(tar(file("d/old", "low")), tar(file("d/new", "up"), file(".wh.d"))),
    expected: holds({ d: IMPLIED, "d/new": aFile("up") }),
  },
  {
    title: "a whiteout of a symlink removes the symlink and not its target",
    rule: "accept",
    files: () => imageOf(tar(file("t/f", "low"), symlink("s", "t")), tar(file(".wh.s"))),
    expected: holds({ t: IMPLIED, "t/f": aFile("low") }),
  },
  {
    title: "a whiteout and an opaque marker in the lowest layer remove nothing and are not seen",
    rule: "accept",
    files: () => imageOf(tar(file("x", "in"), file(".wh.x"), file(OPAQUE), file(".wh.y"))),
    expected: holds({ x: aFile("in") }),
  },
  {
    title: "a whiteout that is a symlink, a device or a hard link is a whiteout",
    rule: "accept",
    files: () =>
      imageOf(
        tar(file("a", "low"), file("b", "low"), file("c", "low"), file("d", "low")),
        tar(
          symlink(".wh.a", "/etc/passwd"),
          file(".wh.b", "", { type: "3" }),
          file(".wh.c", "", { type: "1", link: "/etc/passwd" }),
        ),
      ),
    expected: holds({ d: aFile("low") }),
  },
  {
    title: "20,000 opaque markers over 20,000 files take no longer than one",
    rule: "accept",
    files: () =>
      imageOf(
        tar(...Array.from({ length: 20_000 }, (_, n) => file(`d/${n}`))),
        tar(...Array.from({ length: 20_000 }, () => file(`d/${OPAQUE}`))),
      ),
    expected: holds({ d: IMPLIED }),
  },
];
