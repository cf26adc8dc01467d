import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fixtures, missingForFixtures } from "@lamella/fixtures";
import {
  type CommandResult,
  compareTrees,
  containerdClampsTime,
  describeDifferences,
  type Difference,
  missing,
  runCommand,
  umociDropsEmptyXattr,
  unpackWithUmoci,
  withContainerd,
} from "@lamella/oracles";
import type { WrittenEstargz } from "@lamella/layer-format/node";
import { digestOf } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  blobPath,
  checkLayer,
  convertLayer,
  layersOf,
  nameThatIsNoText,
  withTocTree,
  writeImage,
} from "./estargz-image.js";
import { mergeTars, treeRecords } from "./layer-stack-image.js";

const MINUTES = 60_000;
const reason =
  missing(["root", "ctr-remote", "containerd", "buildah", "skopeo", "umoci", "tar", "python3"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(`layers with a table of contents (${reason ?? "of and for real tools"})`, () => {
  let work = "";
  let nodeApp = "";

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-e2e-estargz-"));
    nodeApp = (await fixtures(["node-app"])).layout("node-app");
  }, 10 * MINUTES);
  afterAll(() => rm(work, { recursive: true, force: true }));

  /** Its storage is ours alone. */
  function buildah(...parameters: string[]): Promise<CommandResult> {
    const storage = ["--root", join(work, "storage"), "--runroot", join(work, "run"), "--storage-driver", "vfs"];
    return runCommand("buildah", [...storage, ...parameters], { cwd: work, accept: [0] });
  }

  it(
    "of eStargz as ctr-remote makes it are what their tars say, chunk by chunk",
    async () => {
      const layers = await layersOf(nodeApp, "estargz");
      let entries = 0;
      let inexactNames = 0;
      for (const descriptor of layers) {
        const checked = await checkLayer(blobPath(nodeApp, descriptor.digest), descriptor);
        expect(checked).toMatchObject({ toc: { format: "estargz", isVouchedFor: true, prefetchBytes: 0 } });
        expect(checked.contentsBytes).toBe(checked.toc.contentsBytes);
        entries += checked.verification.entryCount;
        inexactNames += checked.verification.inexactNames;
      }
      expect(entries).toBeGreaterThan(70_000);
      // A name that is not UTF-8, which Go cannot put into JSON.
      expect(inexactNames).toBe(1);
    },
    2 * MINUTES,
  );

  it(
    "of zstd:chunked as buildah makes it are what their tars say, chunk by chunk",
    async () => {
      const layout = join(work, "chunked");
      const context = join(work, "context");
      await mkdir(join(context, "data"), { recursive: true });
      await writeFile(join(context, "data", "zeros"), Buffer.alloc(300_000));
      await writeFile(
        join(context, "data", "lines"),
        Array.from({ length: 60_000 }, (_, line) => `line ${line}\n`).join(""),
      );
      const noise = Buffer.from(Array.from({ length: 500_000 }, (_, index) => (index * index * 7919) >> 9));
      await writeFile(join(context, "data", "noise"), Buffer.concat([noise, Buffer.alloc(300_000), noise]));
      await writeFile(join(context, "Dockerfile"), "FROM scratch\nCOPY data /data\n");
      await buildah("bud", "--isolation", "chroot", "-t", "sample", context);
      await buildah("push", "--compression-format", "zstd:chunked", "sample", `oci:${layout}:sample`);
      const layers = await layersOf(layout, "sample");
      expect(layers).toHaveLength(1);
      for (const descriptor of layers) {
        for (const known of [descriptor, { ...descriptor, annotations: {} }]) {
          const checked = await checkLayer(blobPath(layout, descriptor.digest), known);
          expect(checked.toc).toMatchObject({ format: "zstd:chunked", isVouchedFor: known === descriptor });
          expect(checked.toc.chunks.length).toBeGreaterThan(10);
          expect(checked.toc.chunks.some(({ isZeros }) => isZeros)).toBe(true);
          expect(checked.verification).toMatchObject({ entryCount: 4, inexactNames: 0 });
        }
      }
    },
    3 * MINUTES,
  );

  describe("of eStargz as we make it", () => {
    const image = (): string => join(work, "image");
    const written: WrittenEstargz[] = [];

    async function packed(layout: string): Promise<string> {
      const archive = `${layout}.tar`;
      await runCommand("tar", ["-C", layout, "-cf", archive, "."], { accept: [0] });
      return archive;
    }

    beforeAll(async () => {
      // The layers with whiteouts, opaque directories and the odd files; the large ones would only take longer.
      const layers = (await layersOf(nodeApp, "latest")).slice(3, 5);
      await mkdir(join(image(), "blobs", "sha256"), { recursive: true });
      const options = [{}, { prioritizedFiles: ["odd/none"], chunkSize: 1 << 20 }];
      for (const [index, { digest }] of layers.entries()) {
        const target = join(work, "layer");
        const layer = await convertLayer(blobPath(nodeApp, digest), target, options[index]);
        await rename(target, blobPath(image(), layer.digest));
        written.push(layer);
      }
      await writeImage(image(), written);
    }, 3 * MINUTES);

    it("are what their tars say, exactly", async () => {
      for (const descriptor of await layersOf(image(), "latest")) {
        const { verification } = await checkLayer(blobPath(image(), descriptor.digest), descriptor);
        expect(verification).toMatchObject({ inexactNames: 0, inexactTimes: 0 });
      }
    });

    it("have the table's digest that ctr-remote finds, and none where the footer is damaged", () =>
      withContainerd({ root: join(work, "containerd-toc") }, async ({ ctrRemote }) => {
        const tocDigest = async (digest: string): Promise<string> =>
          (await ctrRemote(["images", "get-toc-digest", digest])).output.trim();
        // Content that no image names would be collected.
        await ctrRemote(["images", "import", "--base-name", "test.invalid/image", await packed(image())]);
        for (const { digest, annotations } of await layersOf(image(), "latest")) {
          expect(await tocDigest(digest)).toBe(annotations?.["containerd.io/snapshot/stargz/toc.digest"]);
        }
        const [layer] = written;
        if (layer === undefined) throw new Error("nothing was written");
        const bytes = await readFile(blobPath(image(), layer.digest));
        // In the footer's extra field, which gzip does not look at.
        bytes[bytes.length - 16] = 0x58;
        const digest = digestOf(bytes);
        const other = join(work, "damaged");
        await mkdir(join(other, "blobs", "sha256"), { recursive: true });
        await writeFile(blobPath(other, digest), bytes);
        await writeImage(other, [{ ...layer, digest }]);
        await ctrRemote(["images", "import", "--base-name", "test.invalid/damaged", await packed(other)]);
        await expect(tocDigest(digest)).rejects.not.toThrow("not found");
        await expect(tocDigest(digest)).rejects.toMatchObject({ code: "tool_failed" });
      }));

    it(
      "are converted by ctr-remote to layers that have the same tree",
      async () => {
        const [archive, converted] = [await packed(image()), join(work, "converted")];
        await withContainerd({ root: join(work, "containerd-convert") }, async ({ ctrRemote }) => {
          await ctrRemote(["images", "import", "--base-name", "test.invalid/image", archive]);
          const names = ["test.invalid/image:latest", "test.invalid/image:converted"];
          await ctrRemote(["images", "optimize", "--no-optimize", "--oci", ...names]);
          await ctrRemote(["images", "export", `${converted}.tar`, "test.invalid/image:converted"]);
        });
        await mkdir(converted);
        await runCommand("tar", ["-C", converted, "-xf", `${converted}.tar`], { accept: [0] });
        const layers = await layersOf(converted, "converted");
        expect(layers.map(({ digest }) => digest)).not.toEqual(written.map(({ digest }) => digest));
        for (const descriptor of layers) {
          const checked = await checkLayer(blobPath(converted, descriptor.digest), descriptor);
          expect(checked.toc).toMatchObject({ format: "estargz", isVouchedFor: true });
        }
        await withTocTree(image(), "latest", (ours) =>
          withTocTree(converted, "converted", async (theirs) => {
            const comparison = await compareTrees(treeRecords(ours), treeRecords(theirs), {
              ignore: [nameThatIsNoText],
            });
            expect(describeDifferences(comparison)).toBe("");
            expect(comparison.entryCount).toBeGreaterThan(100);
            expect(comparison.ignoredCounts).toEqual([2]);
          }),
        );
      },
      2 * MINUTES,
    );

    it(
      "are plain gzip to skopeo and buildah",
      async () => {
        const plain = join(work, "plain");
        await runCommand("skopeo", ["copy", "--dest-decompress", `oci:${image()}:latest`, `dir:${plain}`], {
          accept: [0],
        });
        const tars = await Promise.all(written.map(({ diffID }) => readFile(join(plain, diffID.split(":")[1] ?? ""))));
        expect(tars.map((tar) => digestOf(tar))).toEqual(written.map(({ diffID }) => diffID));
        // By a relative path: buildah makes a name of it, which may have no capitals.
        await buildah("from", "--quiet", "--name", "sample", "oci:image:latest");
        const directory = (await buildah("mount", "sample")).output.trim();
        const ignore = [umociDropsEmptyXattr, containerdClampsTime, rootOfStorage, linkedSymlink];
        const comparison = await compareTrees(directory, treeRecords(await mergeTars(tars)), { ignore });
        expect(describeDifferences(comparison)).toBe("");
        expect(comparison.entryCount).toBeGreaterThan(100);
        expect(comparison.ignoredCounts).toEqual([1, 1, 2, 3]);
      },
      2 * MINUTES,
    );

    it(
      "are taken by ctr-remote to be used again in an optimised image, and unpacked by containerd and umoci as gzip",
      async () => {
        const archive = await packed(image());
        const layers = await layersOf(image(), "latest");
        await withContainerd({ root: join(work, "containerd-image") }, async ({ ctrRemote }) => {
          await ctrRemote(["images", "import", "--base-name", "test.invalid/image", archive]);
          const names = ["test.invalid/image:latest", "test.invalid/image:optimized"];
          await ctrRemote(["images", "optimize", "--no-optimize", "--reuse", "--oci", ...names]);
          const { output } = await ctrRemote(["content", "ls", "-q"]);
          for (const { digest } of layers) expect(output).toContain(digest);
          const listed = (await ctrRemote(["images", "ls", "-q"])).output;
          expect(listed).toContain("test.invalid/image:optimized");
        });
        await unpackWithUmoci({ layout: image(), tag: "latest", target: join(work, "umoci") });
        expect(await readFile(join(work, "umoci", ".no.prefetch.landmark"))).toEqual(Buffer.of(0x0f));
      },
      2 * MINUTES,
    );
  });
});

/** No layer has an entry for the root: buildah makes one with a mode of its own. */
function rootOfStorage({ path }: Difference): boolean {
  return path === "";
}

/** The driver "vfs" copies layer on layer, and separates the names of a symlink. */
function linkedSymlink({ path, field }: Difference): boolean {
  return path.startsWith("odd/links/sym") && (field === "links" || field === "linkOf");
}
