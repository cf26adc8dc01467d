import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { checkImageStore, openImageStore, pullImage } from "@lamella/image-store";
import type { Finding, ImageStore } from "@lamella/image-store";
import { byteString, writeTar } from "@lamella/layer-format";
import { openOciLayout } from "@lamella/oci-client";
import { bootDisk, copyProgram, debianKernel, missing, requireTool, runCommand, withMount } from "@lamella/oracles";
import type { BootReport } from "@lamella/oracles";
import { hostPlatform } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";
import { writeLayout } from "./layer-stack-image.js";
import { parseWriteLog, seededRandom, survivors } from "./write-log.js";
import type { LogEntry, LoggedWrite, WriteLog } from "./write-log.js";

const CLI = join(import.meta.dirname, "../../../apps/cli/dist");
const GUEST = fileURLToPath(new URL("store-power-cut-guest.mjs", import.meta.url));
const CUTS = Number(process.env["LAMELLA_POWER_CUTS"] ?? 30);
const SEED = Number(process.env["LAMELLA_POWER_CUT_SEED"] ?? 1);
const MIB = 2 ** 20;
const BLOCK = 4096;
/** Behind it the disk goes on, with the marks. */
const FILE_SYSTEM_BYTES = 64 * MIB;
const DISK_BYTES = FILE_SYSTEM_BYTES + MIB;
/** Where ext4 would help a program that does not sync, it is told not to. */
const MOUNT_OPTIONS = "data=writeback,noauto_da_alloc";

/** By the names of images, the layouts that they are in. */
type Names = Readonly<Record<string, string>>;

/** What is done one after the other, and the names that there are afterwards. */
const COMMANDS: readonly { readonly args: readonly string[]; readonly names: Names }[] = [
  { args: ["pull", "oci:/images/a", "--name", "one"], names: { one: "a" } },
  { args: ["pull", "oci:/images/b", "--name", "two"], names: { one: "a", two: "b" } },
  { args: ["tag", "one", "three"], names: { one: "a", two: "b", three: "a" } },
  { args: ["rm", "two"], names: { one: "a", three: "a" } },
  { args: ["gc", "--grace", "0"], names: { one: "a", three: "a" } },
  { args: ["pull", "oci-archive:/images/c.tar", "--name", "one"], names: { one: "c", three: "a" } },
  { args: ["pull", "oci:/images/b", "--name", "two"], names: { one: "c", two: "b", three: "a" } },
  { args: ["tag", "two", "one"], names: { one: "b", two: "b", three: "a" } },
  { args: ["gc", "--grace", "0"], names: { one: "b", two: "b", three: "a" } },
];

/** The machine runs this Node. */
const wrongProcessor = process.arch === "x64" ? undefined : "no Node for x86-64";
const reason =
  wrongProcessor ??
  missing(["root", "qemu-system-x86_64", "busybox", "cpio", "xz", "mkfs.ext4", "mount", "apt-get", "dpkg-deb", "tar"]);

describe.skipIf(reason !== undefined)(
  `a store on a disk whose power is cut (${reason ?? `at ${CUTS} points, seed ${SEED}`})`,
  () => {
    let work = "";
    let report: BootReport;
    let log: WriteLog;
    let digests: Names;
    const at = (name: string): string => join(work, name);
    let cuts = 0;
    /** A new file each time: the kernel may still hold what was mounted of another by the same name. */
    const newCut = (): string => at(`cut-${cuts++}`);

    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-store-power-cut-"));
      digests = await makeGuest(at("guest"));
      await makeRootDisk();
      await makeStoreDisk();
      report = await record();
      log = parseWriteLog(await readFile(at("log")));
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    it("has done all commands, and flushed many times", () => {
      expect(report.booted, report.console).toBe(true);
      expect(report.console).toContain("write back");
      expect(acknowledged(log.entries)).toBe(COMMANDS.length);
      expect(log.entries.filter(({ kind }) => kind === "flush").length).toBeGreaterThan(50);
    });

    it("is recorded to the last byte: the writes of the record make the disk as the machine left it", async () => {
      await copyFile(at("empty"), at("replayed"));
      await write(at("replayed"), log.entries.filter(isWrite));
      expect((await readFile(at("replayed"))).equals(await readFile(at("disk")))).toBe(true);
    });

    it("has whatever was acknowledged, whole, and nothing of what was not, wherever the cut was", async () => {
      const random = seededRandom(SEED);
      const { entries, sectorSize } = log;
      const first = entries.findIndex((entry) => markOf(entry) === "begin 0");
      const points = Array.from({ length: CUTS }, () => first + Math.floor(random() * (entries.length - first))).sort(
        (a, b) => a - b,
      );
      const outcomes = { before: 0, after: 0 };
      await using disk = await startReplay(entries);
      for (const point of points) {
        const flushed = await disk.advance(point);
        const cut = newCut();
        await disk.copyTo(cut);
        await write(cut, survivors(entries.slice(flushed, point), { random, sectorSize }));
        const done = acknowledged(entries.slice(0, point));
        const { problems, names } = await judge(cut, done);
        expect(
          problems,
          `seed ${SEED}: cut after ${point} of ${entries.length} entries, ${done} commands acknowledged`,
        ).toEqual([]);
        outcomes[same(names, namesAfter(done)) ? "before" : "after"]++;
      }
      console.log(
        `${CUTS} cuts, of ${entries.length} writes and flushes: ${outcomes.after} had what was about to be acknowledged`,
      );
    });

    it("is seen to lack what a disk had lost that lied about its flushes", async () => {
      const { entries } = log;
      const pulled = entries.findIndex((entry) => markOf(entry) === "end 1");
      const begun = entries.findIndex((entry) => markOf(entry) === "begin 1");
      await using disk = await startReplay(entries);
      await disk.advance(begun);
      const cut = newCut();
      await disk.copyTo(cut);
      const { problems } = await judge(cut, acknowledged(entries.slice(0, pulled + 1)));
      expect(problems).toEqual(['the names are {"one":"a"}']);
    });

    it("is seen to be damaged where the disk lost one flushed write of a layer", async () => {
      const { entries } = log;
      const layer = await readFile(at("guest/images/b.layer"));
      const end = entries.findIndex((entry) => markOf(entry) === "end 1");
      const lost = entries.findIndex((entry) => isWrite(entry) && isPartOf(layer, entry.data));
      expect(lost).toBeLessThan(end);
      const kept = entries.slice(0, end).toSpliced(lost, 1);
      const cut = newCut();
      await copyFile(at("empty"), cut);
      await write(cut, kept.filter(isWrite));
      const { problems } = await judge(cut, 2);
      expect(problems.join("\n")).toMatch(/blob_damaged|layer_damaged/);
    });

    /** The root of the machine, with the command and what it pulls. */
    async function makeGuest(root: string): Promise<Names> {
      for (const name of ["bin", "dev", "proc", "sys", "tmp", "store", "images", "usr/bin", "lamella"])
        await mkdir(join(root, name), { recursive: true });
      await copyFile(requireTool("busybox"), join(root, "bin/busybox"));
      for (const name of ["sh", "mount", "umount", "sleep", "uname", "cat"])
        await symlink("busybox", join(root, "bin", name));
      await chmod(join(root, "bin/busybox"), 0o755);
      for (const program of [process.execPath, requireTool("dd")]) await copyProgram(program, { root });
      await placeAs(process.execPath, join(root, "usr/bin/node"), root);
      await placeAs(requireTool("dd"), join(root, "usr/bin/dd"), root);
      for (const part of ["lamella.mjs", "chunks", `prebuilds/linux-${process.arch}`])
        await cp(join(CLI, part), join(root, "lamella", part), { recursive: true });
      await copyFile(GUEST, join(root, "lamella/commands.mjs"));
      await writeFile(
        join(root, "lamella/commands.json"),
        JSON.stringify(COMMANDS.map(({ args }) => [...args, "--root", "/store/root", "--no-progress"])),
      );
      return makeImages(join(root, "images"));
    }

    async function makeRootDisk(): Promise<void> {
      const run = await lamella(["disk", `dir:${at("guest")}`, "-o", at("root.ext4"), "--root", at("unused")]);
      expect(run.status, run.stderr).toBe(0);
    }

    async function makeStoreDisk(): Promise<void> {
      await writeFile(at("empty"), "");
      const file = await open(at("empty"), "r+");
      await file.truncate(DISK_BYTES);
      await file.close();
      const settings = ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-b", String(BLOCK)];
      await runCommand("mkfs.ext4", [...settings, at("empty"), String(FILE_SYSTEM_BYTES / BLOCK)], { accept: [0] });
      await copyFile(at("empty"), at("disk"));
    }

    async function record(): Promise<BootReport> {
      const marks = FILE_SYSTEM_BYTES / BLOCK;
      const script = [
        `mount -t tmpfs tmp /tmp && mount -t ext4 -o ${MOUNT_OPTIONS} /dev/vda /store`,
        "mount -t sysfs sys /sys && cat /sys/block/vda/queue/write_cache",
        `HOME=/tmp node /lamella/commands.mjs /lamella/commands.json /dev/vda ${marks}`,
        "umount /store",
      ].join(" && ");
      const logged = { image: at("disk"), log: at("log") };
      return bootDisk({
        image: at("root.ext4"),
        format: "ext4",
        logged,
        kernel: await debianKernel(),
        script,
        timeoutMs: 480_000,
      });
    }

    /** The disk as it was on its way, in the order of the record. */
    async function startReplay(entries: readonly LogEntry[]): Promise<Replay> {
      const path = at("durable");
      await copyFile(at("empty"), path);
      let done = 0;
      return {
        async advance(point) {
          const flush = entries.slice(0, point).findLastIndex(({ kind }) => kind === "flush");
          await write(path, entries.slice(done, flush + 1).filter(isWrite));
          done = flush + 1;
          return done;
        },
        copyTo: (copy) => copySparse(path, copy),
        [Symbol.asyncDispose]: () => rm(path),
      };
    }

    /**
     * What is wrong with the store of a disk, after so many commands were acknowledged, and the names that it has: as it was found, and when an
     * image was pulled and garbage collected besides. The disk goes.
     */
    async function judge(image: string, done: number): Promise<{ problems: string[]; names: Names }> {
      const found = await withMount({ parameters: ["-t", "ext4", "-o", "loop", image] }, async (mounted) => {
        const root = join(mounted, "root");
        const problems: string[] = [];
        const names: Record<string, string> = {};
        const check = async (findings: AsyncIterable<Finding>): Promise<void> => {
          for await (const { kind, subject, problem } of findings) problems.push(`${kind} ${subject}: ${problem}`);
        };
        try {
          if (existsSync(root)) await check(checkImageStore(root));
          await using store = await openImageStore(root);
          for await (const image of store.list())
            for (const name of image.names) names[shortName(name)] = layoutOf(image.digest);
          await pullAgain(store);
          await age(join(root, "ingest"));
          await store.gc({ graceMs: 0 });
          problems.push(...(await readdir(join(root, "ingest"))).map((file) => `${file} was left`));
          await check(store.check());
        } catch (error) {
          problems.push(String(error));
        }
        return verdict(problems, names, done);
      });
      await rm(image);
      return found;
    }

    async function pullAgain(store: ImageStore): Promise<void> {
      const source = await openOciLayout(at("guest/images/b"));
      await pullImage(store, source, "latest", { platform: hostPlatform(), name: "again" });
    }

    function layoutOf(digest: string): string {
      return Object.keys(digests).find((name) => digests[name] === digest) ?? digest;
    }
  },
);

interface Replay extends AsyncDisposable {
  /** Makes of the disk what no cut after so many entries takes away; tells how many entries that are. */
  advance(point: number): Promise<number>;
  copyTo(path: string): Promise<void>;
}

/** Of another boot nobody can tell whose parts these are, until they have lain still for an hour. */
async function age(directory: string): Promise<void> {
  const longAgo = new Date(0);
  for (const name of await readdir(directory)) await utimes(join(directory, name), longAgo, longAgo);
}

/** The command that was under way may have been done, or not. */
function verdict(problems: string[], names: Names, done: number): { problems: string[]; names: Names } {
  if (same(names, namesAfter(done)) || same(names, namesAfter(done + 1))) return { problems, names };
  return { problems: [...problems, `the names are ${JSON.stringify(names)}`], names };
}

function namesAfter(done: number): Names {
  return COMMANDS[Math.min(done, COMMANDS.length) - 1]?.names ?? {};
}

function same(a: Names, b: Names): boolean {
  const sorted = (names: Names): string => JSON.stringify(Object.entries(names).sort());
  return sorted(a) === sorted(b);
}

function shortName(name: string): string {
  return name.replace(/^docker\.io\/library\/(.*):latest$/, "$1");
}

function isWrite(entry: LogEntry): entry is LoggedWrite {
  return entry.kind === "write";
}

/** What a write behind the file system says. */
function markOf(entry: LogEntry): string | undefined {
  if (!isWrite(entry) || entry.offset < FILE_SYSTEM_BYTES) return undefined;
  return Buffer.from(entry.data).toString("latin1").trim();
}

function acknowledged(entries: readonly LogEntry[]): number {
  return entries.filter((entry) => markOf(entry)?.startsWith("end ")).length;
}

function isPartOf(layer: Buffer, data: Uint8Array): boolean {
  const beginning = Buffer.from(data.subarray(0, 64));
  return beginning.some((byte) => byte !== 0) && layer.includes(beginning);
}

async function write(path: string, writes: readonly LoggedWrite[]): Promise<void> {
  const file = await open(path, "r+");
  try {
    for (const { offset, data } of writes) await file.write(data, 0, data.length, offset);
  } finally {
    await file.close();
  }
}

async function copySparse(from: string, to: string): Promise<void> {
  await runCommand("cp", ["--sparse=always", "--reflink=auto", from, to], { accept: [0] });
}

/** A program lies where this machine has it: elsewhere it is found by a link. */
async function placeAs(program: string, path: string, root: string): Promise<void> {
  if (join(root, program) !== path) await symlink(program, path);
}

/** Layouts that share their first layer, one of them as an archive too. Gives the digests of their manifests by name. */
async function makeImages(directory: string): Promise<Names> {
  const base = await tarOf("base", 300_000);
  const digests: Record<string, string> = {};
  for (const name of ["a", "b", "c"]) {
    const layer = await tarOf(name, 150_000);
    await writeLayout(join(directory, name), [base, layer]);
    await writeFile(join(directory, `${name}.layer`), layer);
    const index = JSON.parse(await readFile(join(directory, name, "index.json"), "utf8")) as {
      manifests: { digest: string }[];
    };
    digests[name] = index.manifests[0]!.digest;
  }
  execFileSync(requireTool("tar"), ["-C", join(directory, "c"), "-cf", join(directory, "c.tar"), "."]);
  await rm(join(directory, "c"), { recursive: true });
  return digests;
}

async function tarOf(name: string, sizeBytes: number): Promise<Buffer> {
  const content = randomBytes(sizeBytes);
  async function* entries() {
    const plain = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0, xattrs: new Map() };
    const node = { ...plain, linkTarget: "", deviceMajor: 0, deviceMinor: 0 };
    yield {
      ...node,
      path: byteString(name),
      kind: "file" as const,
      size: content.length,
      async *contents() {
        yield content;
      },
    };
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(entries())) chunks.push(chunk);
  return Buffer.concat(chunks);
}
