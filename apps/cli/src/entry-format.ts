import { byteString, displayPath } from "@lamella/layer-format";
import type { Entry, LayerEntry } from "@lamella/layer-format";

/** An entry of a tree, or of a layer, in which names are not counted. */
type Listed = Entry | LayerEntry;

/** One JSON object. A path that is not UTF-8 comes escaped, and exactly in `pathHex`. */
export function entryJson(entry: Listed): Record<string, unknown> {
  const { kind, mode, uid, gid, size, mtimeSeconds, mtimeNanoseconds, deviceMajor, deviceMinor } = entry;
  const path = displayPath(entry.path);
  const exact = byteString(path) === entry.path ? {} : { pathHex: Buffer.from(entry.path, "latin1").toString("hex") };
  const links = "links" in entry ? { links: entry.links } : {};
  const target = isLink(entry) ? { linkTarget: displayPath(entry.linkTarget) } : {};
  const device = kind === "char" || kind === "block" ? { deviceMajor, deviceMinor } : {};
  const xattrs = [...entry.xattrs].map(([name, value]) => [displayPath(name), Buffer.from(value).toString("base64")]);
  return {
    path,
    ...exact,
    kind,
    mode,
    uid,
    gid,
    size,
    mtimeSeconds,
    mtimeNanoseconds,
    ...links,
    ...target,
    ...device,
    xattrs: Object.fromEntries(xattrs),
  };
}

const TYPE = {
  file: "-",
  directory: "d",
  symlink: "l",
  char: "c",
  block: "b",
  fifo: "p",
  socket: "s",
  hardlink: "h",
  whiteout: "w",
  opaque: "o",
} as const;

/** As `ls -l` has it, with the time in UTC; of a layer without the count of links, with `h`, `w` and `o` for its own kinds. */
export function entryLine(entry: Listed): string {
  const { kind, path, linkTarget } = entry;
  const links = "links" in entry ? `${entry.links}`.padStart(3) : "  -";
  const owner = `${entry.uid}:${entry.gid}`.padEnd(11);
  const size = kind === "char" || kind === "block" ? `${entry.deviceMajor},${entry.deviceMinor}` : `${entry.size}`;
  const target = isLink(entry) ? ` ${kind === "symlink" ? "->" : "link to"} ${displayPath(linkTarget)}` : "";
  return `${TYPE[kind]}${permissions(entry.mode)} ${links} ${owner} ${size.padStart(11)} ${time(entry.mtimeSeconds)} ${displayPath(path) || "."}${target}\n`;
}

function isLink({ kind }: Listed): boolean {
  return kind === "symlink" || kind === "hardlink";
}

function permissions(mode: number): string {
  const letters = Array.from((mode & 0o777).toString(2).padStart(9, "0"), (bit, at) =>
    bit === "1" ? RWX[at % 3] : "-",
  );
  for (const { bit, at, executable, bare } of SPECIAL) {
    if (mode & bit) letters[at] = letters[at] === "x" ? executable : bare;
  }
  return letters.join("");
}

const RWX = ["r", "w", "x"];
const SPECIAL = [
  { bit: 0o4000, at: 2, executable: "s", bare: "S" },
  { bit: 0o2000, at: 5, executable: "s", bare: "S" },
  { bit: 0o1000, at: 8, executable: "t", bare: "T" },
];

function time(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `@${seconds}` : date.toISOString().slice(0, 19).replace("T", " ");
}
