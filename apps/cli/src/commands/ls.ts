import { LOCATION_FORMS } from "@lamella/image-store";
import { byteString, displayPath, resolvePath } from "@lamella/layer-format";
import type { Entry, FileTree } from "@lamella/layer-format";
import { Command } from "commander";

import { EntryNotFound } from "../entry-not-found.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";
import { withSession } from "../session.js";

interface LsOptions extends GlobalOptions {
  recursive: boolean;
}

export function lsCommand(): Command {
  const command = new Command("ls")
    .description("list a directory of an image")
    .argument("<source>", LOCATION_FORMS)
    .argument("[path]", "a directory or a file of the image; symlinks are followed", "/")
    .option("-R, --recursive", "everything below it as well", false)
    .action(list);
  return addGlobalOptions(command);
}

async function list(source: string, path: string, options: LsOptions): Promise<void> {
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree) => {
      const top = await resolvePath(tree, byteString(path), { signal });
      if (top === undefined) throw new EntryNotFound(source, path);
      const format = options.json ? asJson : asText;
      let lines = "";
      for await (const entry of selectEntries(tree, top, options.recursive, signal)) {
        lines += format(entry);
        if (lines.length < 1 << 16) continue;
        await writeOut(lines);
        lines = "";
      }
      await writeOut(lines);
    }),
  );
}

async function* selectEntries(
  tree: FileTree,
  top: Entry,
  recursive: boolean,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  if (top.kind !== "directory") {
    yield top;
    return;
  }
  const prefix = top.path === "" ? "" : `${top.path}/`;
  for await (const entry of tree.entries({ signal })) {
    const below = entry.path !== "" && entry.path.startsWith(prefix);
    if (below && (recursive || !entry.path.includes("/", prefix.length))) yield entry;
  }
}

/** One JSON object a line. A path that is not UTF-8 comes escaped, and exactly in `pathHex`. */
function asJson(entry: Entry): string {
  const { kind, mode, uid, gid, size, mtimeSeconds, mtimeNanoseconds, links, deviceMajor, deviceMinor } = entry;
  const path = displayPath(entry.path);
  const exact = byteString(path) === entry.path ? {} : { pathHex: Buffer.from(entry.path, "latin1").toString("hex") };
  const target = kind === "symlink" ? { linkTarget: displayPath(entry.linkTarget) } : {};
  const device = kind === "char" || kind === "block" ? { deviceMajor, deviceMinor } : {};
  const xattrs = [...entry.xattrs].map(([name, value]) => [displayPath(name), Buffer.from(value).toString("base64")]);
  const json = {
    path,
    ...exact,
    kind,
    mode,
    uid,
    gid,
    size,
    mtimeSeconds,
    mtimeNanoseconds,
    links,
    ...target,
    ...device,
    xattrs: Object.fromEntries(xattrs),
  };
  return `${JSON.stringify(json)}\n`;
}

const TYPE = { file: "-", directory: "d", symlink: "l", char: "c", block: "b", fifo: "p", socket: "s" } as const;

/** As `ls -l` has it, with the time in UTC. */
function asText(entry: Entry): string {
  const owner = `${entry.uid}:${entry.gid}`.padEnd(11);
  const size =
    entry.kind === "char" || entry.kind === "block" ? `${entry.deviceMajor},${entry.deviceMinor}` : `${entry.size}`;
  const target = entry.kind === "symlink" ? ` -> ${displayPath(entry.linkTarget)}` : "";
  return `${TYPE[entry.kind]}${permissions(entry.mode)} ${`${entry.links}`.padStart(3)} ${owner} ${size.padStart(11)} ${time(entry.mtimeSeconds)} ${displayPath(entry.path)}${target}\n`;
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
