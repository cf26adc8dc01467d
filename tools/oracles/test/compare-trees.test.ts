import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareTrees, describeDifferences } from "../src/compare-trees.js";
import type { CompareOptions, Comparison } from "../src/compare-trees.js";
import { listTree } from "../src/list-tree.js";
import { have, missing } from "../src/requirements.js";
import { comparePaths } from "../src/tree-record.js";
import type { TreeRecord } from "../src/tree-record.js";
import { makeSampleTree, sh } from "./sample-tree.js";
import { withScratch } from "./scratch.js";

const lacking = missing(["python3", "setfattr"]);

/** Compares the sample tree with a copy of it that a shell script has changed. */
async function compareAfter(change: string, options: CompareOptions = {}): Promise<Comparison> {
  return withScratch(async (scratch) => {
    await mkdir(join(scratch, "a"));
    await makeSampleTree(join(scratch, "a"));
    await sh(scratch, "cp -a a b");
    await sh(join(scratch, "b"), change);
    return compareTrees(join(scratch, "a"), join(scratch, "b"), options);
  });
}

async function fieldsAfter(change: string): Promise<string[]> {
  const { differences } = await compareAfter(change);
  return differences.map(({ path, field }) => `${path}: ${field}`);
}

const keepTime = (file: string, change: string): string => `touch -r ${file} ../t; ${change}; touch -h -r ../t ${file}`;

describe.skipIf(lacking !== undefined)(`compareTrees() ${lacking ?? ""}`, () => {
  it("finds a copy equal, and says how many entries it saw", async () => {
    const comparison = await compareAfter("true");
    expect(describeDifferences(comparison)).toBe("");
    expect(comparison.entryCount).toBe(11);
  });

  it.each([
    [
      "one byte of content",
      keepTime("etc/deep/large", "printf X | dd of=etc/deep/large bs=1 seek=3999999 conv=notrunc status=none"),
      "etc/deep/large: sha256",
    ],
    ["one nanosecond", "touch -d @1500000000.000000001 etc/empty", "etc/empty: mtime"],
    ["a nanosecond of a symlink", "touch -h -d @1500000000.000000001 etc/deep/link", "etc/deep/link: mtime"],
    ["the time of a directory", "touch -d @1500000001 etc/deep", "etc/deep: mtime"],
    ["a mode bit", "chmod u-s program", "program: mode"],
    ["an attribute's value", "setfattr -n user.text -v valuE program", "program: xattr:user.text"],
    [
      "an attribute too few",
      "setfattr -x user.empty etc/deep/again",
      "etc/deep/again: xattr:user.empty,etc/text: xattr:user.empty",
    ],
    ["an attribute too many", "setfattr -n user.more -v x etc", "etc: xattr:user.more"],
    ["a lost file", keepTime("etc", "rm etc/empty"), "etc/empty: missing"],
    ["a new file", keepTime("etc", "touch etc/f"), "etc/f: extra"],
    [
      "another target",
      keepTime("etc/deep", "ln -snf ../texT etc/deep/link; touch -h -d @1500000000 etc/deep/link"),
      "etc/deep/link: target",
    ],
    ["a fifo that is a file", keepTime(".", "rm fifo; : > fifo; touch -d @1500000000 fifo"), "fifo: type,fifo: sha256"],
    [
      "a separated hard link",
      keepTime("etc", "cp -a etc/text etc/u; mv etc/u etc/text"),
      "etc/deep/again: links,etc/text: linkOf,etc/text: links",
    ],
    [
      "a lost directory, with its parent's link count",
      keepTime("etc", "rm -r etc/deep"),
      "etc: links,etc/deep: missing",
    ],
  ])("sees %s", async (_, change, expected) => {
    const fields = await fieldsAfter(change);
    for (const field of expected.split(",")) expect(fields).toContain(field);
    if (!expected.includes("missing")) expect(fields).toHaveLength(expected.split(",").length);
  });

  it.skipIf(!have("root"))("sees another owner, another group and another device number (needs root)", async () => {
    expect(await fieldsAfter("chown 1:2 etc/empty")).toEqual(["etc/empty: uid", "etc/empty: gid"]);
    await withScratch(async (scratch) => {
      await sh(scratch, "mkdir a b; mknod a/d c 1 3; mknod b/d c 1 5; touch -d @0 a/d b/d a b");
      const { differences } = await compareTrees(join(scratch, "a"), join(scratch, "b"));
      expect(differences).toEqual([{ path: "d", field: "rdev", expected: "1:3", actual: "1:5" }]);
    });
  });

  it("counts what it leaves out and what it has no room for", async () => {
    const comparison = await compareAfter("chmod 700 etc program; touch -d @1 fifo", { ignore: ["mtime"], limit: 1 });
    expect(comparison).toMatchObject({
      differenceCount: 2,
      ignoredCounts: [1],
      differences: [{ path: "etc", expected: "0755", actual: "0700" }],
    });
    expect(describeDifferences(comparison)).toBe("/etc: mode: expected 0755, got 0700\nand 1 more");
  });

  it("rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    await expect(compareTrees("/usr", "/usr", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const comparing = compareTrees("/usr", "/usr", { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 50);
    await expect(comparing).rejects.toBe(reason);
  });

  it("rejects a directory that cannot be listed", async () => {
    await expect(compareTrees("/nowhere", "/nowhere")).rejects.toMatchObject({ code: "listing_incomplete" });
  });

  it("rejects a listing that is out of order", async () => {
    const records: TreeRecord[] = [];
    await withScratch(async (scratch) => {
      await sh(scratch, "touch a b");
      for await (const record of listTree(scratch)) records.push(record);
    });
    expect(records.map(({ path }) => path)).toEqual(["", "a", "b"]);
    await expect(compareTrees(records.toReversed(), records)).rejects.toMatchObject({ code: "listing_incomplete" });
  });
});

describe.skipIf(lacking !== undefined)(`listTree() ${lacking ?? ""}`, () => {
  it("keeps every byte of a name and lists in the order of comparePaths()", async () => {
    await withScratch(async (scratch) => {
      await makeSampleTree(scratch);
      await sh(scratch, "mkdir -p a a-b; touch a/z a-b/y a.c");
      const paths: string[] = [];
      for await (const { path } of listTree(scratch)) paths.push(path);
      expect(paths).toContain("raw-\xff\n\\");
      expect(paths).toEqual(paths.toSorted(comparePaths));
      expect(paths.slice(1, 6)).toEqual(["a", "a/z", "a-b", "a-b/y", "a.c"]);
    });
  });

  it("leaves no program behind when its reader stops early", async () => {
    const count = (): Promise<string> => sh("/", "ps -o args= --ppid $PPID | grep -c '[l]ist-tree.py /usr/\\.$' || :");
    // not as other tests name it, which this process may run at the same time
    for await (const record of listTree("/usr/.")) {
      expect(record.path).toBe("");
      expect(await count()).toBe("1\n");
      break;
    }
    expect(await count()).toBe("0\n");
  });
});

describe("comparePaths()", () => {
  const path = fc
    .array(fc.constantFrom("a", "b", "a-", "a.", "\xff", "z"), { maxLength: 4 })
    .map((names) => names.join("/"));

  it("puts a directory's subtree right after it", () => {
    fc.assert(
      fc.property(fc.uniqueArray(path), (paths) => {
        const sorted = paths.toSorted(comparePaths);
        for (const [index, directory] of sorted.entries()) {
          const below = sorted
            .map((other, at) => (other.startsWith(`${directory}/`) || directory === "" ? at : -1))
            .filter((at) => at > index);
          expect(below).toEqual(below.map((_, offset) => index + 1 + offset));
        }
      }),
    );
  });
});
