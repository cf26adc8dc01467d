import { LayerFormatError, mergeLayers } from "@lamella/layer-format";
import type { Layer } from "@lamella/layer-format";
import { memoryLayer } from "@lamella/layer-format/testing";
import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { planErofsLayer, planErofsLayers } from "../src/erofs/layers/layer-plan.js";
import type { ErofsLayerOptions } from "../src/erofs/layers/layer-plan.js";
import { collect } from "./bytes.js";
import { readErofs } from "./erofs-reader.js";
import { listTree } from "./listing.js";
import type { Listed } from "./listing.js";
import { showOverlay } from "./overlay-model.js";
import { layerStacks } from "./random-layers.js";

async function readPlan(plan: DiskPlan): Promise<Listed[]> {
  return readErofs(await collect(plan.read(0, plan.sizeBytes)));
}

async function readLayers(layers: readonly Layer[], options?: ErofsLayerOptions): Promise<Listed[][]> {
  const images = [];
  for await (const plan of planErofsLayers(layers, options)) images.push(await readPlan(plan));
  return images;
}

/** The merged tree without what no overlay can show. */
async function expectedTree(layers: readonly Layer[]): Promise<Listed[]> {
  const listed = await listTree(await mergeLayers(layers));
  const shown = listed.filter(({ kind, device }) => !(kind === "char" && device === "0:0"));
  return shown.map((entry) => ({ ...entry, links: 0 }));
}

function names(image: readonly Listed[]): string[] {
  return image.map(({ path, device, xattrs }) =>
    device === "0:0" ? `-${path}` : "trusted.overlay.opaque" in xattrs ? `=${path}` : path,
  );
}

async function namesOf(...specs: MemoryLayerSpec[]): Promise<string[]> {
  const images = await readLayers(specs.map((spec) => memoryLayer(spec)));
  return names(images.at(-1)!);
}

describe("planErofsLayers()", () => {
  it.each([
    ["trusted", "trusted.overlay."],
    ["user", "user.overlay."],
  ] as const)("gives disks that an overlay makes the merged tree of, with %s xattrs", async (overlayXattrs, prefix) => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(layerStacks, async (specs) => {
        const layers = specs.map((spec) => memoryLayer(spec));
        const expected = await expectedTree(layers).catch((error: unknown) => {
          if (error instanceof LayerFormatError) return undefined;
          throw error;
        });
        fc.pre(expected !== undefined);
        const images = await readLayers(layers, { overlayXattrs });
        expect(images).toHaveLength(layers.length);
        expect(showOverlay(images, { prefix })).toEqual(expected);
        compared += 1;
      }),
      { numRuns: 150 },
    );
    expect(compared).toBe(150);
  });

  it("leaves out what a layer does not change, with the directories that lead to what it does", async () => {
    const base: MemoryLayerSpec = [{ path: "etc/motd" }, { path: "usr/bin/sh" }, { path: "usr/lib/so" }];
    expect(await namesOf(base, [{ path: "usr/bin/ls" }])).toEqual(["", "usr", "usr/bin", "usr/bin/ls"]);
    expect(await namesOf(base, [])).toEqual([""]);
  });

  it("whites out what is gone, and marks a directory opaque of which nothing is left", async () => {
    const base: MemoryLayerSpec = [{ path: "a/1" }, { path: "a/2" }, { path: "b/1" }, { path: "c/d/1" }];
    const next: MemoryLayerSpec = [
      { path: "a/1", kind: "whiteout" },
      { path: "b", kind: "opaque" },
      { path: "b/2" },
      { path: "c", kind: "whiteout" },
    ];
    expect(await namesOf(base, next)).toEqual(["", "a", "-a/1", "=b", "b/2", "-c"]);
  });

  it("whites out all of a root that is opaque: overlayfs does not ask whether it is", async () => {
    expect(await namesOf([{ path: "a" }, { path: "b/c" }], [{ path: "", kind: "opaque" }])).toEqual(["", "-a", "-b"]);
  });

  it("gives an implied directory the attributes that it has below", async () => {
    const [, image] = await readLayers([
      memoryLayer([{ path: "var", kind: "directory", mode: 0o700, uid: 7, mtime: 9, xattrs: { "user.u": "v" } }]),
      memoryLayer([{ path: "var/log" }]),
    ]);
    const directory = image!.find(({ path }) => path === "var")!;
    expect(directory).toMatchObject({ mode: 0o700, uid: 7, mtimeSeconds: 9, xattrs: { "user.u": "76" } });
  });

  it("has all names of a file below that gets one more", async () => {
    const base: MemoryLayerSpec = [
      { path: "a", content: "data" },
      { path: "b", hardlinkTo: "a" },
    ];
    const link = { path: "d/c", kind: "hardlink" as const, linkTarget: "b" };
    const [, image] = await readLayers([memoryLayer(base), memoryLayer([link])]);
    expect(names(image!)).toEqual(["", "a", "b", "d", "d/c"]);
    expect(image!.filter(({ firstName, links }) => firstName === "a" && links === 3)).toHaveLength(3);
  });

  it("puts what lies behind a symlink of a layer below where it leads", async () => {
    const base: MemoryLayerSpec = [
      { path: "lib", linkTarget: "usr/lib" },
      { path: "usr/lib/a" },
      { path: "usr/lib/c" },
    ];
    const next: MemoryLayerSpec = [{ path: "lib/b" }, { path: "lib/a", kind: "whiteout" }];
    expect(await namesOf(base, next)).toEqual(["", "usr", "usr/lib", "-usr/lib/a", "usr/lib/b"]);
  });

  it("marks opaque directories in both namespaces if asked to", async () => {
    const layers = [memoryLayer([{ path: "a/b" }]), memoryLayer([{ path: "a", kind: "opaque" }])];
    const [, image] = await readLayers(layers, { overlayXattrs: "both" });
    const { xattrs } = image!.find(({ path }) => path === "a")!;
    expect(xattrs).toEqual({ "trusted.overlay.opaque": "79", "user.overlay.opaque": "79" });
  });

  it("escapes xattrs that would steer an overlay, and says so", async () => {
    const xattrs = { "trusted.overlay.opaque": "y", "user.overlay.opaque": "y" };
    const layers = [memoryLayer([{ path: "a/b" }]), memoryLayer([{ path: "a", kind: "directory", xattrs }])];
    const plans = [];
    for await (const plan of planErofsLayers(layers)) plans.push(plan);
    const image = await readPlan(plans[1]!);
    expect(image.find(({ path }) => path === "a")!.xattrs).toEqual({
      "trusted.overlay.overlay.opaque": "79",
      "user.overlay.opaque": "79",
    });
    expect(plans[0]!.losses).toEqual([]);
    expect(plans[1]!.losses).toEqual([
      { what: "xattrs of overlayfs, which an overlay shows from Linux 6.7 on", count: 1, paths: ["a"] },
    ]);
  });

  it("leaves out a device 0:0 and says so, in the layer that has it", async () => {
    const device = { path: "a", kind: "char" as const, device: { major: 0, minor: 0 } };
    const layers = [memoryLayer([{ path: "a" }]), memoryLayer([device]), memoryLayer([])];
    const plans = [];
    for await (const plan of planErofsLayers(layers)) plans.push(plan);
    expect(names(await readPlan(plans[1]!))).toEqual(["", "-a"]);
    expect(names(await readPlan(plans[2]!))).toEqual([""]);
    expect(plans.map(({ losses }) => losses.map(({ count, paths }) => [count, ...paths]))).toEqual([
      [],
      [[1, "a"]],
      [],
    ]);
  });

  it("compresses them if asked to", async () => {
    const layers = [memoryLayer([{ path: "a", content: "text ".repeat(5000) }])];
    for await (const plan of planErofsLayers(layers, { compression: "lz4", threads: 1 })) {
      await using compressed = plan;
      expect(compressed.sizeBytes).toBeLessThan(20_000);
      expect(names(await readPlan(compressed))).toEqual(["", "a"]);
    }
  });

  it("rejects with a signal's reason, before work and between layers", async () => {
    const layers = [memoryLayer([{ path: "a" }]), memoryLayer([{ path: "b" }])];
    const reason = new Error("enough");
    await expect(planErofsLayers(layers, { signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);
    await expect(planErofsLayer(layers[0]!, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const plans = planErofsLayers(layers, { signal: controller.signal });
    await plans.next();
    controller.abort(reason);
    await expect(plans.next()).rejects.toBe(reason);
  });

  it("refuses xattrs of another name", async () => {
    const options = { overlayXattrs: "system" as "user" };
    await expect(planErofsLayers([], options).next()).rejects.toMatchObject({ code: "option_invalid" });
  });
});

describe("planErofsLayer()", () => {
  async function alone(spec: MemoryLayerSpec): Promise<string[]> {
    return names(await readPlan(await planErofsLayer(memoryLayer(spec))));
  }

  it("keeps the markers of a layer, and makes their directories", async () => {
    expect(
      await alone([
        { path: "etc/a/b", kind: "whiteout" },
        { path: "var", kind: "opaque" },
        { path: "var/log" },
        { path: "usr", kind: "whiteout" },
        { path: "usr/bin" },
      ]),
    ).toEqual(["", "etc", "etc/a", "-etc/a/b", "=usr", "usr/bin", "=var", "var/log"]);
  });

  it("keeps what a layer brings to where it removes", async () => {
    expect(await alone([{ path: "a" }, { path: "a", kind: "whiteout" }])).toEqual(["", "a"]);
    expect(await alone([{ path: "a/below-0" }, { path: "a", kind: "opaque" }])).toEqual(["", "=a", "a/below-0"]);
  });

  it("resolves a marker through the layer's own symlinks", async () => {
    expect(
      await alone([{ path: "l", linkTarget: "/etc" }, { path: "etc/y" }, { path: "l/x", kind: "whiteout" }]),
    ).toEqual(["", "etc", "-etc/x", "etc/y", "l"]);
  });

  it("refuses an opaque root, which would need to know what it hides", async () => {
    const layer = memoryLayer([{ path: "", kind: "opaque" }]);
    await expect(planErofsLayer(layer)).rejects.toMatchObject({ code: "unsupported" });
  });

  it("refuses a hard link to what the layer does not have", async () => {
    const layer = memoryLayer([{ path: "a", kind: "hardlink", linkTarget: "b" }]);
    await expect(planErofsLayer(layer)).rejects.toMatchObject({ code: "layer_invalid" });
  });
});
