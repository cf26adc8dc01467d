import { type RawEntry, rawDirectory, rawFile, rawLink, rawSymlink } from "./raw-tar.js";

/** What has to be in the snapshot, by path. */
export interface Expectation {
  /** A file with this content, which a path leads to through symlinks inside of the image. */
  readonly content?: Readonly<Record<string, string>>;
  /** Pairs of paths that lead to one inode. */
  readonly same?: readonly (readonly [string, string])[];
  readonly different?: readonly (readonly [string, string])[];
  readonly missing?: readonly string[];
  /** Symlinks and their targets. */
  readonly symlinks?: Readonly<Record<string, string>>;
}

export interface BreakoutCase {
  readonly name: string;
  /** Applied first, and committed. */
  readonly base?: readonly RawEntry[];
  readonly layer: readonly RawEntry[];
  /** What has to come of it; a layer without is refused as `layer_invalid`. */
  readonly expect?: Expectation;
}

const UNBROKEN: Expectation = { content: { "etc/unbroken": "unbroken" } };
const unbroken = (name: string): RawEntry => rawFile(name, "unbroken");
const etc = rawDirectory("etc", 0o770);
const passwd = rawFile("/etc/passwd", "inside");
const PASSWD = [rawDirectory("/etc/"), passwd] as const;
const same = (...pairs: (readonly [string, string])[]): Expectation => ({
  same: pairs,
  content: { "etc/passwd": "inside" },
});

const SYMLINKS: readonly BreakoutCase[] = [
  {
    name: "an absolute symlink",
    layer: [rawDirectory("etc"), rawSymlink("localetc", "/etc"), unbroken("/localetc/unbroken")],
    expect: UNBROKEN,
  },
  {
    name: "a symlink up and out",
    layer: [
      rawDirectory("etc"),
      rawDirectory("dummy"),
      rawSymlink("localetc", "/dummy/../etc"),
      unbroken("/localetc/unbroken"),
    ],
    expect: UNBROKEN,
  },
  {
    name: "several absolute symlinks",
    layer: [
      rawDirectory("etc"),
      rawDirectory("dummy"),
      rawSymlink("/dummy/etc", "/etc"),
      rawSymlink("localetc", "/dummy/etc"),
      unbroken("/localetc/unbroken"),
    ],
    expect: UNBROKEN,
  },
  {
    name: "several relative symlinks",
    layer: [
      rawDirectory("etc"),
      rawDirectory("dummy"),
      rawSymlink("/dummy/etc", "/etc"),
      rawSymlink("localetc", "./dummy/etc"),
      unbroken("/localetc/unbroken"),
    ],
    expect: UNBROKEN,
  },
  {
    name: "an empty file through a symlink",
    layer: [
      rawDirectory("etc"),
      rawFile("etc/emptied", "notempty"),
      rawSymlink("localetc", "/etc"),
      rawFile("/localetc/emptied"),
    ],
    expect: { content: { "etc/emptied": "" } },
  },
  {
    name: "a symlink named as the parent directory",
    layer: [etc, passwd, rawSymlink("..", "/etc/"), rawLink("localpasswd", "/etc/passwd")],
    expect: same(["localpasswd", "etc/passwd"]),
  },
  {
    name: "a symlink without a name",
    layer: [etc, passwd, rawSymlink("", "/etc/"), rawLink("localpasswd", "/etc/passwd")],
    expect: same(["localpasswd", "etc/passwd"]),
  },
  {
    name: "a symlink named by way of a parent",
    layer: [etc, passwd, rawSymlink("localetc/sub/..", "/etc/"), rawLink("/localetc/localpasswd", "/etc/passwd")],
    expect: same(["localetc/localpasswd", "etc/passwd"]),
  },
  {
    name: "a directory whose name ends with a slash",
    layer: [etc, passwd, rawDirectory("localetc/", 0o770), rawLink("/localetc/localpasswd", "/etc/passwd")],
    expect: same(["localetc/localpasswd", "etc/passwd"]),
  },
  {
    name: "an absolute symlink over a directory",
    base: [...PASSWD, rawDirectory("/localetc/")],
    layer: [rawSymlink("localetc", "/etc"), rawLink("/localetc/localpasswd", "/etc/passwd")],
    expect: same(["localetc/localpasswd", "etc/passwd"]),
  },
  {
    name: "a relative symlink over a directory",
    base: [...PASSWD, rawDirectory("/localetc/")],
    layer: [rawSymlink("localetc", "../../etc"), rawLink("/localetc/localpasswd", "/etc/passwd")],
    expect: same(["localetc/localpasswd", "etc/passwd"]),
  },
  {
    name: "a directory over a symlink",
    base: [...PASSWD, rawSymlink("localetc", "/etc")],
    layer: [rawDirectory("/localetc/"), rawLink("/localetc/localpasswd", "/etc/passwd")],
    expect: { ...same(["localetc/localpasswd", "etc/passwd"]), missing: ["etc/localpasswd"] },
  },
  {
    name: "a directory over a symlink that a hard link went through",
    base: [...PASSWD, rawSymlink("localetc", "etc"), rawLink("/localetc/localpasswd", "/etc/passwd")],
    layer: [rawDirectory("/localetc/"), rawFile("/localetc/localpasswd", "different")],
    expect: {
      different: [["localetc/localpasswd", "etc/passwd"]],
      content: { "localetc/localpasswd": "different", "etc/passwd": "inside" },
    },
  },
];

const HARD_LINKS: readonly BreakoutCase[] = [
  {
    name: "a hard link through a relative symlink",
    layer: [
      etc,
      passwd,
      rawDirectory("breakouts"),
      rawSymlink("breakouts/d1", "../../etc"),
      rawLink("breakouts/mypasswd", "/breakouts/d1/passwd"),
    ],
    expect: same(["breakouts/mypasswd", "etc/passwd"]),
  },
  {
    name: "a hard link through a symlink down and out",
    layer: [
      etc,
      passwd,
      rawDirectory("breakouts"),
      rawDirectory("downandout"),
      rawSymlink("breakouts/d1", "../downandout/../../etc"),
      rawLink("breakouts/mypasswd", "/breakouts/d1/passwd"),
    ],
    expect: same(["breakouts/mypasswd", "etc/passwd"]),
  },
  ...["/etc", "../../../../../../../etc", "upandout/../../../etc"].map((target) => ({
    name: `a hard link through a symlink to ${target}`,
    layer: [etc, passwd, rawSymlink("localetc", target), rawLink("localpasswd", "/localetc/passwd")],
    expect: same(["localpasswd", "etc/passwd"]),
  })),
  ...["../../../../../etc/passwd", "/etc/passwd"].map((target) => ({
    name: `a hard link to ${target}`,
    layer: [etc, passwd, rawLink("localpasswd", target)],
    expect: same(["localpasswd", "etc/passwd"]),
  })),
  {
    name: "a hard link to a symlink whose target comes later",
    layer: [
      etc,
      rawSymlink("localpasswd", "/etc/passwd"),
      rawLink("localpasswd-dup", "localpasswd"),
      rawFile("/etc/passwd", "after"),
    ],
    expect: { same: [["localpasswd-dup", "etc/passwd"]], symlinks: { "localpasswd-dup": "/etc/passwd" } },
  },
  ...["../../../../../etc/passwd", "/etc/passwd"].map((target) => ({
    name: `a hard link to a symlink to ${target}`,
    layer: [etc, passwd, rawSymlink("passwdlink", target), rawLink("localpasswd", "/passwdlink")],
    expect: {
      ...same(["localpasswd", "etc/passwd"]),
      symlinks: { localpasswd: target, passwdlink: target },
    },
  })),
];

const WHITEOUTS: readonly BreakoutCase[] = [
  { name: "a whiteout of the root's parent", base: PASSWD, layer: [rawFile(".wh...")] },
  { name: "a whiteout of the parent", base: PASSWD, layer: [rawFile("etc/.wh...")] },
  { name: "a whiteout of the root", base: PASSWD, layer: [rawFile(".wh..")] },
  { name: "a whiteout of the directory it is in", base: PASSWD, layer: [rawFile("etc/.wh..")] },
  {
    name: "a whiteout of a symlink",
    base: [...PASSWD, rawSymlink("localetc", "/etc")],
    layer: [rawFile(".wh.localetc")],
    expect: { content: { "etc/passwd": "inside" }, missing: ["localetc"] },
  },
  {
    name: "a whiteout through a symlink",
    base: [...PASSWD, rawFile("/etc/whitedout", "ahhhh whiteout"), rawSymlink("localetc", "/etc")],
    layer: [rawFile("localetc/.wh.whitedout")],
    expect: { content: { "etc/passwd": "inside" }, missing: ["etc/whitedout"] },
  },
  {
    name: "a directory named as a whiteout",
    base: [...PASSWD, rawFile("/etc/whitedout", "ahhhh whiteout"), rawSymlink("localetc", "/etc")],
    layer: [rawFile(".wh.etc/somefile", "non-empty")],
    expect: { content: { "etc/passwd": "inside", ".wh.etc/somefile": "non-empty" } },
  },
  {
    name: "a whiteout through a symlink to nothing",
    base: [...PASSWD, rawSymlink("localetc", "/dne")],
    layer: [rawFile("localetc/.wh.etc")],
    expect: { content: { "etc/passwd": "inside" } },
  },
  {
    name: "a whiteout by way of a parent",
    base: [...PASSWD, rawSymlink("localetc", "/dne")],
    layer: [rawFile("dne/../.wh.etc")],
    expect: { missing: ["etc", "etc/passwd"] },
  },
];

/** Layers that try to reach out of the snapshot; two more are made of the test's own directory. */
export const BREAKOUT_CASES: readonly BreakoutCase[] = [...SYMLINKS, ...HARD_LINKS, ...WHITEOUTS];

/** A symlink to `outside`, where something is, under the very path of another thing there, and a hard link to it. */
export function chmodCase(outside: string): BreakoutCase {
  const [secret, other] = [`${outside}/secret`, `${outside}/other`];
  return {
    name: "a symlink and a hard link under paths that are outside",
    layer: [rawSymlink(other, secret), rawLink("sketchylink", other)],
    expect: { symlinks: { sketchylink: secret } },
  };
}

/** A path that is a directory, then a symlink to the root, then a directory again. */
export function overrideCase(outside: string): BreakoutCase {
  const directories = outside
    .split("/")
    .filter(Boolean)
    .map((_, index, names) => names.slice(0, index + 1).join("/"));
  const inFoo = [rawDirectory("foo"), ...directories.map((path) => rawDirectory(`foo/${path}`))];
  const file = `foo${outside}/secret`;
  return {
    name: "a directory, then a symlink to the root, then a directory again",
    layer: [
      ...inFoo,
      rawFile(file, "012"),
      rawSymlink("foo", "/"),
      rawFile(file, "345"),
      ...inFoo,
      rawFile(file, "678"),
    ],
    expect: { content: { [file]: "678" } },
  };
}
