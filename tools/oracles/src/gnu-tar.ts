import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { CallOptions } from "./command.js";
import { OracleError } from "./errors.js";
import { requireTool } from "./requirements.js";

/** An entry as `tar --list` shows it. Texts are byte strings. */
export interface GnuTarRecord {
  readonly name: string;
  /** The first letter of the mode: `-` file, `d`, `l`, `h` hard link, `c`, `b`, `p`, `C` contiguous file. */
  readonly type: string;
  readonly linkTarget: string;
  /** The low twelve bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a device its numbers, `major,minor`. */
  readonly size: string;
  /** `YYYY-MM-DD hh:mm:ss[.nnnnnnnnn]` in UTC. */
  readonly time: string;
  /** Bytes of each extended attribute, by name. */
  readonly xattrs: Readonly<Record<string, number>>;
}

/** What GNU tar makes of a tar. */
export interface GnuTarListing {
  readonly entries: readonly GnuTarRecord[];
  /** Of the contents of all files, one after the other, holes as zeros. */
  readonly sha256: string;
  /** What it complained of; empty if of nothing. */
  readonly complaint: string;
}

const LINE =
  /^(.)([-rwxsStT]{9})[+*.]? +(-?\d+)\/(-?\d+) +(\d+(?:,\d+)?) (-?\S+ \S+) +("(?:[^"\\]|\\[^])*")(?: (?:->|link to) ("(?:[^"\\]|\\[^])*"))?/;
const XATTR_LINE = /^ {2}x: +(\d+) (.*)$/;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", a: "\x07" };

/** Reads a tar with GNU tar: one run that lists it, one that gives the contents. Nothing is unpacked. */
export async function listTarWithGnu(path: string, options: CallOptions = {}): Promise<GnuTarListing> {
  options.signal?.throwIfAborted();
  const list = [
    "-tvvP",
    "--xattrs",
    "--xattrs-include=*",
    "--full-time",
    "--numeric-owner",
    "--quoting-style=c",
    "-f",
    path,
  ];
  const listed = await run(list, options);
  const contents = await run(["-xPO", "-f", path], options);
  return {
    entries: parseListing(listed.output.toString("latin1")),
    sha256: createHash("sha256").update(contents.output).digest("hex"),
    complaint: listed.complaint + contents.complaint,
  };
}

async function run(
  parameters: readonly string[],
  { signal }: CallOptions,
): Promise<{ output: Buffer; complaint: string }> {
  const child = spawn(requireTool("tar"), parameters, {
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const abort = (): boolean => child.kill("SIGTERM");
  signal?.addEventListener("abort", abort);
  const chunks: Buffer[] = [];
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString("latin1")));
  try {
    const [exitCode] = (await once(child, "close")) as [number | null];
    signal?.throwIfAborted();
    if (exitCode !== 0 && complaint === "") {
      throw new OracleError("tool_failed", `cannot list a tar: tar ended with ${exitCode}`);
    }
    return { output: Buffer.concat(chunks), complaint };
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function parseListing(output: string): GnuTarRecord[] {
  const records: (GnuTarRecord & { xattrs: Record<string, number> })[] = [];
  for (const line of output.split("\n")) {
    const xattr = XATTR_LINE.exec(line);
    const last = records.at(-1);
    if (xattr !== null && last !== undefined) last.xattrs[xattr[2] ?? ""] = Number(xattr[1]);
    const match = LINE.exec(line);
    if (match === null) {
      if (line !== "" && xattr === null && !/^ {2}a: |^--/.test(line)) {
        throw new OracleError("listing_incomplete", `cannot read the listing of tar: ${JSON.stringify(line)}`);
      }
      continue;
    }
    const [, type = "", bits = "", uid, gid, size = "", time = "", name = "", link = '""'] = match;
    records.push({
      name: unquote(name),
      type,
      linkTarget: unquote(link),
      mode: modeOf(bits),
      uid: Number(uid),
      gid: Number(gid),
      size,
      time,
      xattrs: {},
    });
  }
  return records;
}

function modeOf(bits: string): number {
  let mode = 0;
  for (const [index, bit] of bits.split("").entries()) {
    if (bit !== "-" && bit !== "S" && bit !== "T") mode |= 0o400 >> index;
  }
  if (/[sS]/.test(bits[2] ?? "")) mode |= 0o4000;
  if (/[sS]/.test(bits[5] ?? "")) mode |= 0o2000;
  return /[tT]/.test(bits[8] ?? "") ? mode | 0o1000 : mode;
}

function unquote(text: string): string {
  return text
    .slice(1, -1)
    .replaceAll(/\\([0-7]{3}|[^])/g, (_, escape: string) =>
      escape.length === 3 ? String.fromCharCode(Number.parseInt(escape, 8)) : (ESCAPES[escape] ?? escape),
    );
}
