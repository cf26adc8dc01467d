import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import type { SnapshotDriver, Snapshotter } from "../src/index.js";
import { createDirectoryDriver, createSnapshotter } from "../src/node/index.js";
import { snapshotterConformance } from "../src/testing.js";

type Body = () => Promise<void>;

/** The suite's tests by their names, none of them run. */
function testsOf(create: (directory: string) => Promise<Snapshotter>, unavailable?: string): Map<string, Body> {
  const tests = new Map<string, Body>();
  const run = Object.assign((name: string, body: Body) => void tests.set(name, body), {
    skip: (name: string) => void tests.set(`skipped: ${name}`, () => Promise.resolve()),
  });
  const mounter = { mount: () => Promise.resolve(), unmount: () => Promise.resolve() };
  snapshotterConformance(
    { describe: (_, body) => body(), it: run },
    {
      name: "a snapshotter",
      create: async (directory) => ({ snapshotter: await create(directory), mounter }),
      unavailable,
      rebases: false,
    },
  );
  return tests;
}

/** A snapshotter that does some things in its own way. */
async function changed(directory: string, change: (right: Snapshotter) => Partial<Snapshotter>): Promise<Snapshotter> {
  const right = await createSnapshotter(directory, createDirectoryDriver());
  const wrong = change(right);
  return new Proxy(right, {
    get(target, name) {
      const value: unknown = Reflect.get(name in wrong ? wrong : target, name);
      return typeof value === "function" ? value.bind(name in wrong ? wrong : target) : value;
    },
  });
}

/** A driver whose layers are laid straight on what is there. */
function hastyDriver(): SnapshotDriver {
  const driver = createDirectoryDriver();
  return {
    ...driver,
    async apply(place, tar, options) {
      await writeFile(join(place.directory, "fs", "half"), "");
      return driver.apply(place, tar, options);
    },
  };
}

/** A driver to which every layer is good. */
function carelessDriver(): SnapshotDriver {
  const driver = createDirectoryDriver();
  return {
    ...driver,
    async apply(place, tar, options) {
      const fallback = { diffID: `sha256:${"0".repeat(64)}`, uncompressedSize: 0 } as const;
      return driver.apply(place, tar, options).catch(() => fallback);
    },
  };
}

const FAULTS: readonly (readonly [fault: string, test: string, create: (directory: string) => Promise<Snapshotter>])[] =
  [
    [
      "hands labels on",
      "have of a committed snapshot the labels of its commit, and no others",
      (directory) =>
        changed(directory, (right) => ({
          commit: async (name, key, options) =>
            right.commit(name, key, { ...options, labels: { ...(await right.stat(key)).labels, ...options?.labels } }),
        })),
    ],
    [
      "says nothing of children",
      "stay as long as there are children",
      (directory) => changed(directory, (right) => ({ remove: (name) => right.remove(name).catch(() => undefined) })),
    ],
    [
      "mounts what is committed",
      "have no mounts of a committed snapshot",
      (directory) => changed(directory, (right) => ({ mounts: (key) => right.mounts(key).catch(() => []) })),
    ],
    [
      "takes any parent",
      "refuse a parent that is not there, and one that is not committed",
      (directory) =>
        changed(directory, (right) => ({
          prepare: (key, parent) => right.prepare(key, parent).catch(() => right.prepare(key)),
        })),
    ],
    [
      "knows no filters",
      "and the other fields are what filters of a walk look at",
      (directory) => changed(directory, (right) => ({ walk: () => right.walk() })),
    ],
    [
      "looks at no signal",
      "whose signal is aborted reject with its reason, and have done nothing",
      (directory) => changed(directory, (right) => ({ stat: (name) => right.stat(name) })),
    ],
    [
      "leaves half a layer",
      "is applied whole or not at all",
      (directory) => createSnapshotter(directory, hastyDriver()),
    ],
    [
      "takes a whiteout of the root",
      "by a whiteout of the root",
      (directory) => createSnapshotter(directory, carelessDriver()),
    ],
    [
      "follows a symlink",
      "by a directory over a symlink",
      (directory) =>
        changed(directory, (right) => ({
          apply: async (key, tar) => {
            const [mount] = await right.mounts(key);
            const result = await right.apply(key, tar);
            await mkdir(join(mount?.source ?? "", "etc"), { recursive: true });
            await writeFile(join(mount?.source ?? "", "etc/localpasswd"), "broken out");
            return result;
          },
        })),
    ],
    [
      "does work at once",
      "to exclusively follow each other under one name, and not under others",
      (directory) => changed(directory, () => ({ exclusively: (_, work) => work() })),
    ],
  ];

describe("snapshotterConformance()", () => {
  it.each(FAULTS)("finds a snapshotter that %s", async (_, test, create) => {
    const right = testsOf((directory) => createSnapshotter(directory, createDirectoryDriver())).get(test);
    await right?.();
    expect(right).toBeDefined();
    await expect(testsOf(create).get(test)?.()).rejects.toThrow();
  });

  it("has the tests of containerd's suites, by the dozen", () => {
    expect(testsOf(() => Promise.reject(new Error("not needed"))).size).toBeGreaterThan(100);
  });

  it("skips all of them where the snapshotter is not to be had", () => {
    const names = [...testsOf(() => Promise.reject(new Error("not needed")), "nobody may mount here").keys()];
    expect(names.every((name) => name.startsWith("skipped: "))).toBe(true);
  });
});
