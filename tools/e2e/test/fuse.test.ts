import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { mountLayers, mountTree, STATE_FILE_NAME } from "@lamella/fuse";
import type { FuseMount } from "@lamella/fuse";
import { layerStack } from "@lamella/fuzz";
import type { Entry, FileTree, ReadOptions } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import {
  compareTrees,
  describeDifferences,
  missing,
  mountLayers as mountOverlay,
  runCommand,
  umociDifferences,
  withUnpackedTree,
} from "@lamella/oracles";
import type { CommandResult, Comparison, Difference } from "@lamella/oracles";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { diskTree } from "./disk-tree.js";
import { endsWithin, type FuseProcess, startFuseServer, startLamellaMount, waitUntilReading } from "./fuse-process.js";
import { layerOf, mergeTars, treeRecords } from "./layer-stack-image.js";

const TREES = Number(process.env["LAMELLA_FUSE_TREES"] ?? 6);
const CYCLES = Number(process.env["LAMELLA_FUSE_CYCLES"] ?? 50);
const SEED = 7;
const LAYERS = 6;
const SOON_MS = 5000;
const reason = missing(["root", "/dev/fuse", "mount", "umount", "python3", "cat"]);

describe.skipIf(reason !== undefined)(`trees mounted through FUSE (${reason ?? "by the kernel"})`, () => {
  let work = "";
  let directory = "";

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-fuse-"));
    directory = join(work, "mount");
    await mkdir(directory);
  });
  // A test that has failed is not to keep the others from their directory, nor this process from its end.
  afterEach(async () => {
    for (const place of await mounts()) await runCommand("umount", ["--force", "--lazy", place]);
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it(`show what ${TREES} random trees hold`, async () => {
    let entries = 0;
    for (let seed = SEED; seed < SEED + TREES; seed++) {
      await using tree = memoryTree(diskTree(seed));
      await using mount = await mountTree(tree, directory);
      const comparison = await compareTrees(treeRecords(tree), mount.directory, { limit: 5 });
      expect(describeDifferences(comparison), `tree ${seed}`).toBe("");
      expect(mount.stats().failedReads).toBe(0);
      entries += comparison.entryCount;
    }
    expect(entries).toBeGreaterThan(20 * TREES);
  });

  it.each<[string, (entry: Entry) => Entry | undefined]>([
    ["a nanosecond", (entry) => ({ ...entry, mtimeNanoseconds: entry.mtimeNanoseconds ^ 1 })],
    ["an owner", (entry) => ({ ...entry, uid: entry.uid + 1 })],
    ["an xattr", (entry) => ({ ...entry, xattrs: new Map([["user.note", Buffer.of(2)]]) })],
    ["a mode", (entry) => ({ ...entry, mode: entry.mode ^ 0o1000 })],
  ])("are seen to be wrong by %s", async (_, change) => {
    const tree = memoryTree([{ path: "file", content: "text", xattrs: { "user.note": Uint8Array.of(1) } }]);
    const comparison = await mounted(changedTree(tree, { change }), () => compare(tree));
    expect(comparison.differenceCount).toBeGreaterThan(0);
  });

  it("are seen to be wrong by one byte", async () => {
    const tree = memoryTree([{ path: "file", content: "text" }]);
    const comparison = await mounted(
      changedTree(tree, {
        async *read() {
          yield Buffer.from("tezt");
        },
      }),
      () => compare(tree),
    );
    expect(describeDifferences(comparison)).toContain("sha256");
  });

  it.each(["trusted", "user"] as const)("make an overlay of an image's layers, %s xattrs", async (xattrs) => {
    const tars = layerStack({ seed: 5, layers: LAYERS, stacks: 20, changes: 12 });
    const layers = await mkdtemp(join(work, "layers-"));
    await using tree = await mergeTars(tars);
    const options = xattrs === "user" ? ["userxattr"] : [];
    const overlay = (count: number, how = options): Promise<Comparison> =>
      mountOverlay({ directory: layers, count: count - 1, options: how }, (place) =>
        compareTrees(treeRecords(tree), place, { ignore: [hiddenLinks] }),
      );
    {
      await using _ = await mountLayers(tars.map(layerOf), layers, { xattrs });
      const comparison = await overlay(LAYERS);
      expect(describeDifferences(comparison)).toBe("");
      expect(comparison.entryCount).toBeGreaterThan(200);
      expect((await overlay(LAYERS - 1)).differenceCount).toBeGreaterThan(0);
      const otherXattrs = xattrs === "user" ? [] : ["userxattr"];
      expect((await overlay(LAYERS, otherXattrs)).differenceCount).toBeGreaterThan(0);
    }
    expect(await readdir(layers)).toEqual([]);
  });

  it("has a state file for each layer, which is not listed and always new", async () => {
    const layers = await mkdtemp(join(work, "layers-"));
    let fetched = 0;
    const stateFile = (layer: number): object => ({ layer, fetched: ++fetched });
    await using mounts = await mountLayers([layerOf(Buffer.alloc(1024)), layerOf(Buffer.alloc(1024))], layers, {
      stateFile,
    });
    for (const [layer, { directory: place }] of mounts.mounts.entries()) {
      const { output } = await run("cat", join(place, STATE_FILE_NAME));
      expect(JSON.parse(output)).toMatchObject({ layer });
      expect((await run("ls", "-A", place)).output).toBe("");
    }
    const read = (): Promise<CommandResult> => run("cat", join(layers, "0", STATE_FILE_NAME));
    const [first, second] = [(await read()).output, (await read()).output];
    expect(JSON.parse(second)).not.toEqual(JSON.parse(first));
    const stat = await run("stat", "-c", "%a %u %h", join(layers, "0", STATE_FILE_NAME));
    expect(stat.output).toBe("400 0 1\n");
  });

  it("answer EIO to a read that fails, and go on", async () => {
    const tree = memoryTree([
      { path: "bad", content: "x" },
      { path: "good", content: "y" },
    ]);
    const errors: string[] = [];
    await using mount = await mountTree(
      changedTree(tree, {
        async *read(entry, options) {
          if (entry.path === "bad") throw new Error("the registry has gone");
          yield* tree.read(entry, options);
        },
      }),
      directory,
      { onReadError: (error, path) => errors.push(`${path}: ${(error as Error).message}`) },
    );
    const bad = await run("cat", join(directory, "bad"));
    expect([bad.exitCode, bad.output]).toEqual([1, expect.stringContaining("Input/output error")]);
    expect((await run("cat", join(directory, "good"))).output).toBe("y");
    expect(errors[0]).toBe("bad: the registry has gone");
    expect(mount.stats().failedReads).toBeGreaterThan(0);
  });

  it("answer EIO to a read that never ends, when its time is over, and unmount beside one", async () => {
    const { tree, mount } = await mountNever({ timeoutMs: 300 });
    expect((await run("cat", join(directory, "never"))).output).toContain("Input/output error");
    expect(await mount.unmount()).toBe("unmounted");
    await tree[Symbol.asyncDispose]();

    const { mount: patient } = await mountNever({ timeoutMs: 600_000 });
    const reader = spawn("cat", [join(directory, "never")], { stdio: "ignore" });
    await waitUntilReading(reader.pid!);
    expect(await patient.unmount()).toBe("detached");
    expect(await endsWithin(reader, SOON_MS)).toBe(1);
    expect(await mountCount()).toBe(0);
  });

  it("let go of a reader that is killed or interrupted, but not of one to whom another signal comes", async () => {
    const { mount } = await mountNever({ timeoutMs: 600_000 });
    const direct = [`if=${join(directory, "never")}`, "of=/dev/null", "iflag=direct"];
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      for (const [tool, ...parameters] of [
        ["cat", join(directory, "never")],
        ["dd", ...direct],
      ] as const) {
        const reader = spawn(tool, parameters, { stdio: "ignore" });
        await waitUntilReading(reader.pid!);
        reader.kill(signal);
        expect(await endsWithin(reader, SOON_MS), tool).toBe(signal);
      }
    }
    expect(mount.stats().failedReads).toBe(0);
    await mount.unmount();

    const slow = memoryTree([{ path: "slow", content: "a".repeat(10_000) }]);
    const program = [
      "import ctypes, os, signal, sys",
      "signal.signal(signal.SIGALRM, lambda *_: None)",
      "signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)",
      "file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)",
      "buffer = ctypes.create_string_buffer(10000)",
      // Python itself would read again.
      "count = ctypes.CDLL(None).read(file, buffer, 10000)",
      "signal.setitimer(signal.ITIMER_REAL, 0)",
      "print(count)",
    ].join("\n");
    const { output } = await mounted(
      changedTree(slow, {
        async *read(entry, options) {
          await new Promise((resolve) => setTimeout(resolve, 300));
          yield* slow.read(entry, options);
        },
      }),
      () => run("python3", "-c", program, join(directory, "slow")),
    );
    expect(output).toBe("10000\n");
  });

  it("give every byte of a file of 5 GiB, and its holes", async () => {
    const GIB = 2 ** 30;
    const fill = (offset: number): number => 1 + (offset % 251);
    const content = { size: 5 * GIB + 3, fill };
    const tree = memoryTree([{ path: "huge", content, extents: [{ offset: 4 * GIB - 2, length: GIB + 5 }] }]);
    const program =
      "import os, sys; file = os.open(sys.argv[1], 0); print([list(os.pread(file, 4, int(at))) for at in sys.argv[2:]])";
    const places = [0, 4 * GIB - 4, 4 * GIB - 1, 5 * GIB + 1, 5 * GIB + 3];
    const { output } = await mounted(tree, () =>
      run("python3", "-c", program, join(directory, "huge"), ...places.map(String)),
    );
    const bytes = (at: number): number[] =>
      Array.from({ length: Math.min(4, content.size - at) }, (_, index) =>
        at + index < 4 * GIB - 2 ? 0 : fill(at + index),
      );
    expect(JSON.parse(output)).toEqual(places.map(bytes));
  });

  it("are asked for nothing twice", async () => {
    const spec = Array.from({ length: 300 }, (_, at) => ({ path: `${at % 7}/${at}`, content: "x" }));
    await mounted(memoryTree(spec), async (mount) => {
      const look = async (): Promise<number> => {
        const { exitCode } = await run(
          "bash",
          "-c",
          `cd ${directory} && find . -printf "%s %T@" && cat */* && ! stat none`,
        );
        expect(exitCode).toBe(0);
        return mount.stats().requests;
      };
      const first = await look();
      expect(first).toBeGreaterThan(300);
      // What the file system is, it is asked each time.
      expect((await look()) - first).toBeLessThan(20);
    });
  });

  it.skipIf(missing(["setpriv"]) !== undefined)(
    "are for others only if they shall be, and as far as modes go",
    async () => {
      const tree = memoryTree([
        { path: "open", content: "open" },
        { path: "secret", content: "secret", mode: 0o600 },
      ]);
      // mkdtemp() made it for this user alone.
      await chmod(work, 0o755);
      const read = async (name: string): Promise<string> => {
        const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        return (await run("setpriv", ...nobody, "cat", join(directory, name))).output;
      };
      await mounted(tree, async () => expect(await read("open")).toContain("Permission denied"));
      await using _ = await mountTree(tree, directory, { allowOther: true });
      expect(await read("open")).toBe("open");
      expect(await read("secret")).toContain("Permission denied");
    },
  );

  it("leave the processor alone as soon as nobody asks", async () => {
    const server = await startFuseServer(directory);
    const { exitCode } = await run("bash", "-c", `stat ${directory}/none{1..3000} 2> /dev/null; true`);
    expect(exitCode).toBe(0);
    await sleep(200);
    const before = await processorMs(server.child.pid!);
    expect(before).toBeGreaterThan(20);
    await sleep(1000);
    expect((await processorMs(server.child.pid!)) - before).toBeLessThan(200);
    server.child.kill();
    await server.ended;
  });

  it("are not unmounted in place of what is mounted over them", async () => {
    await mounted(memoryTree([]), async (mount) => {
      await run("mount", "-t", "tmpfs", "none", directory);
      await expect(mount.unmount()).rejects.toMatchObject({ code: "unmount_failed" });
      await run("umount", directory);
    });
    expect(await mountCount()).toBe(0);
  });

  it("serve many readers at once", async () => {
    const spec: MemoryTreeSpec = Array.from({ length: 40 }, (_, at) => ({
      path: `${at}`,
      content: { size: 3_000_001 + at, fill: at + 1 },
    }));
    const tree = memoryTree(spec);
    await mounted(tree, async () => {
      const sums = await run("bash", "-c", `cd ${directory}; for i in {0..39}; do cksum $i & done; wait`);
      expect(sums.output.split("\n")).toHaveLength(41);
      expect(describeDifferences(await compare(tree))).toBe("");
    });
  });

  it("detach where somebody is in the directory", async () => {
    await using tree = memoryTree([{ path: "file", content: "x" }]);
    await using mount = await mountTree(tree, directory);
    const user = spawn("sleep", ["60"], { cwd: directory, stdio: "ignore" });
    await new Promise((resolve) => user.on("spawn", resolve));
    expect(await mount.unmount()).toBe("detached");
    await mount.done;
    expect(await mountCount()).toBe(0);
    user.kill();
  });

  it("end when somebody else unmounts", async () => {
    const mount = await mountTree(memoryTree([]), directory);
    await run("umount", directory);
    await mount.done;
    expect(await mount.unmount()).toBe("unmounted");
  });

  it("refuse a directory on which one is mounted that works", async () => {
    await mounted(memoryTree([]), async () => {
      await expect(mountTree(memoryTree([]), directory)).rejects.toMatchObject({ code: "busy" });
    });
  });

  it("leave no mount where mounting is aborted, whenever that is", async () => {
    const outcomes = new Set<string>();
    for (let delayMs = 0; delayMs <= 150; delayMs += 10) {
      const abort = new AbortController();
      const reason = new Error("enough");
      const mounting = mountTree(memoryTree([]), directory, { signal: abort.signal });
      setTimeout(() => abort.abort(reason), delayMs);
      const [outcome] = await Promise.allSettled([mounting]);
      if (outcome.status === "fulfilled") await outcome.value.unmount();
      else expect(outcome.reason).toBe(reason);
      outcomes.add(outcome.status);
      expect(await mountCount()).toBe(0);
    }
    expect(outcomes).toContain("rejected");
  });

  it("leave nobody hanging when their server is killed, and are replaced by the next", async () => {
    const server = await startFuseServer(directory);
    const readers = ["cat", "md5sum"].map((tool) =>
      spawn(tool, [join(directory, "never")], { stdio: "ignore", cwd: "/" }),
    );
    for (const { pid } of readers) await waitUntilReading(pid!);
    server.child.kill("SIGKILL");
    expect(await server.ended).toBe("SIGKILL");
    for (const reader of readers) expect(await endsWithin(reader, SOON_MS)).toBe(1);
    expect((await run("ls", "-lR", directory)).output).toMatch(/not connected|Software caused connection abort/);
    expect(await mountCount()).toBe(1);

    await using tree = memoryTree([{ path: "new", content: "x" }]);
    await using _ = await mountTree(tree, directory);
    expect((await run("cat", join(directory, "new"))).output).toBe("x");
    expect(await mountCount()).toBe(1);
  });

  it.each([
    ["exit", 3],
    ["throw", 1],
  ])("do not keep a process from its end: %s", async (how, status) => {
    const server = await startFuseServer(directory, how);
    expect(await server.ended).toBe(status);
    expect(await mountCount()).toBe(0);
  });

  it(`leave nothing of ${CYCLES} mounts`, async () => {
    const tree = memoryTree([{ path: "file", content: "x" }]);
    const cycle = async (): Promise<void> => {
      await mounted(tree, () => run("cat", join(directory, "file")));
    };
    for (let warmUp = 0; warmUp < 3; warmUp++) await cycle();
    const before = await held();
    for (let round = 0; round < CYCLES; round++) await cycle();
    expect(await held()).toEqual(before);
  });

  it("are mounted by whoever is root of a namespace of their own", async () => {
    const script = [
      `${process.execPath} ${join(import.meta.dirname, "fuse-server.mjs")} ${directory} & server=$!`,
      `while ! [ -e ${directory}/bin/true ]; do sleep 0.05; done`,
      `cat ${directory}/bin/true; stat -c ' %a %u' ${directory}/bin/true`,
      `umount ${directory}; wait $server; echo ended $?`,
    ].join("\n");
    const { output } = await run("unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script);
    expect(output).toContain("yes 4755 0\nended 0");
    expect(await mountCount()).toBe(0);
  });

  describe("by lamella mount", () => {
    it.skipIf(missingForFixtures() !== undefined || missing(["umoci"]) !== undefined)(
      "show an image as umoci unpacks it, until SIGTERM",
      async () => {
        const images = await fixtures(["node-app"]);
        const layout = images.layout("node-app");
        const root = join(work, "root");
        const server = await startLamellaMount(`oci:${layout}:latest`, directory, "--root", root, "--json");
        expect(JSON.parse(server.line)).toMatchObject({ directory, pid: server.child.pid });
        await withUnpackedTree({ layout, tag: "latest", by: "umoci" }, async (truth) => {
          const comparison = await compareTrees(truth, directory, { ignore: umociDifferences });
          expect(describeDifferences(comparison)).toBe("");
          expect(comparison.entryCount).toBeGreaterThan(60_000);
        });
        await expectEnd(server);
      },
    );

    it.skipIf(missingForFixtures() !== undefined || missing(["docker-registry"]) !== undefined)(
      "bring of an image no more than is read, and outlive its registry",
      async () => {
        await fixtures(["node-app"]);
        const registry = await startFixtureRegistry();
        try {
          const image = `${registry.address}/node-app:estargz`;
          const root = join(work, "lazy-root");
          const server = await startLamellaMount("--lazy", image, directory, "--root", root, "--timeout", "2s");
          const read = await run("cat", join(directory, "etc/os-release"));
          expect(read.output).toContain("Debian");
          const state = JSON.parse((await run("cat", join(directory, STATE_FILE_NAME))).output) as {
            layers: { size: number; fetchedSize: number }[];
          };
          const sum = (of: "size" | "fetchedSize"): number => state.layers.reduce((all, layer) => all + layer[of], 0);
          expect(sum("fetchedSize")).toBeGreaterThan(0);
          expect(sum("fetchedSize") / sum("size")).toBeLessThan(0.05);

          await registry.close();
          expect(await run("cat", join(directory, "etc/os-release"))).toEqual(read);
          expect((await run("cat", join(directory, "bin/bash"))).output).toContain("Input/output error");
          await expectEnd(server);
          expect(server.said()).toContain("warning: cannot read /");
        } finally {
          await registry.close();
        }
      },
    );

    it("give up a directory that is in use, and say so", async () => {
      await mkdir(join(work, "source"), { recursive: true });
      const server = await startLamellaMount(`dir:${join(work, "source")}`, directory, "--root", join(work, "root"));
      expect(server.line).toBe(directory);
      const user = spawn("sleep", ["60"], { cwd: directory, stdio: "ignore" });
      await new Promise((resolve) => user.on("spawn", resolve));
      await expectEnd(server);
      expect(server.said()).toContain("was still in use");
      user.kill();
    });
  });

  async function expectEnd(server: FuseProcess): Promise<void> {
    server.child.kill("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(await mountCount()).toBe(0);
  }

  /** Runs a program to its end, in the C locale. */
  function run(tool: string, ...parameters: string[]): Promise<CommandResult> {
    return runCommand(tool, parameters);
  }

  async function mounted<T>(tree: FileTree, use: (mount: FuseMount) => Promise<T>): Promise<T> {
    await using mount = await mountTree(tree, directory);
    return await use(mount);
  }

  function compare(tree: FileTree): Promise<Comparison> {
    return compareTrees(treeRecords(tree), directory);
  }

  async function mountNever({ timeoutMs }: { timeoutMs: number }): Promise<{ tree: FileTree; mount: FuseMount }> {
    const tree = changedTree(memoryTree([{ path: "never", content: "x" }]), {
      async *read() {
        yield new Uint8Array();
        await new Promise(() => {});
      },
    });
    return { tree, mount: await mountTree(tree, directory, { timeoutMs }) };
  }

  async function mounts(): Promise<string[]> {
    const table = await readFile("/proc/self/mountinfo", "latin1");
    const places = table.split("\n").map((line) => line.split(" ")[4] ?? "");
    return places.filter((place) => place.startsWith(`${work}/`));
  }

  async function mountCount(): Promise<number> {
    return (await mounts()).length;
  }

  async function held(): Promise<object> {
    const count = async (path: string): Promise<number> => (await readdir(path)).length;
    const children = await readFile(`/proc/self/task/${process.pid}/children`, "latin1");
    return {
      descriptors: await count("/proc/self/fd"),
      threads: await count("/proc/self/task"),
      children: children.split(" ").filter((pid) => pid !== "").length,
      mounts: await mountCount(),
    };
  }
});

/** What a process has used of processors, all its threads. */
async function processorMs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = threads.map(async (thread) =>
    (await readFile(`/proc/${pid}/task/${thread}/schedstat`, "latin1")).split(" "),
  );
  return (await Promise.all(times)).reduce((sum, [nanoseconds]) => sum + Number(nanoseconds) / 1e6, 0);
}

interface Change {
  readonly change?: (entry: Entry) => Entry | undefined;
  readonly read?: (entry: Entry, options?: ReadOptions) => AsyncIterable<Uint8Array>;
}

/** A tree whose files are other than it says, or that is read in another way. */
function changedTree(tree: FileTree, { change, read }: Change): FileTree {
  return {
    entryCount: tree.entryCount,
    inodeCount: tree.inodeCount,
    async *entries(options) {
      for await (const entry of tree.entries(options)) yield entry.kind === "file" ? (change?.(entry) ?? entry) : entry;
    },
    lookup: (path, options) => tree.lookup(path, options),
    read: read ?? ((entry, options) => tree.read(entry, options)),
    [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose](),
  };
}

/** overlayfs gives the link count of the inode below, names included that a higher layer hides. */
function hiddenLinks({ field, expected, actual }: Difference): boolean {
  return field === "links" && Number(actual) > Number(expected);
}
