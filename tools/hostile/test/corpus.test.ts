import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { e2fsck, have } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { caseId, caseTitle, hostileCases, tryAll, type Verdict, writeCorpus } from "../src/index.js";

const CLI = join(import.meta.dirname, "../../../apps/cli/dist/lamella.mjs");

let corpus = "";
let verdicts = new Map<string, Verdict>();
let checkedDisks = 0;

beforeAll(async () => {
  corpus = mkdtempSync(join(tmpdir(), "lamella-hostile-corpus-"));
  await writeCorpus(corpus);
  const fallen = await tryAll(hostileCases, {
    command: [process.execPath, CLI],
    corpus,
    checkDisk: async (disk, format) => {
      if (format !== "ext4" || !have("e2fsck")) return [];
      checkedDisks++;
      const { clean, output } = await e2fsck(disk);
      return clean ? [] : [`e2fsck: ${output}`];
    },
  });
  verdicts = new Map(fallen.map((verdict) => [caseId(verdict.case), verdict]));
});
afterAll(() => rmSync(corpus, { recursive: true, force: true }));

describe("the command, given", () => {
  it.each(hostileCases.map((each) => [caseTitle(each), caseId(each)]))("%s", (_title, id) => {
    const verdict = verdicts.get(id);
    expect(verdict).toBeDefined();
    expect(verdict?.faults.join("\n")).toBe("");
  });

  it.skipIf(!have("e2fsck"))("what it accepts, writes disks that e2fsck finds clean", () => {
    expect(checkedDisks).toBe(hostileCases.filter(({ rule }) => rule !== "refuse").length);
  });
});

describe("the corpus", () => {
  it("has each row of the list from 1 to 73, and 74 to 83 and 85 to 87", () => {
    const rows = new Set(hostileCases.map(({ row }) => row));
    const wanted = Array.from({ length: 87 }, (_, index) => index + 1).filter((row) => row !== 84);
    expect(wanted.filter((row) => !rows.has(row))).toEqual([]);
  });

  it("has a directory of its own for each case", () => {
    expect(new Set(hostileCases.map(caseId)).size).toBe(hostileCases.length);
  });

  it("is the same bytes each time", async () => {
    const again = mkdtempSync(join(tmpdir(), "lamella-hostile-again-"));
    try {
      await writeCorpus(again);
      expect(digestOfTree(again)).toBe(digestOfTree(corpus));
    } finally {
      rmSync(again, { recursive: true, force: true });
    }
  });

  it("has gzip streams that gzip itself takes", () => {
    const id = hostileCases.map(caseId).find((each) => each.includes("64-mib-of-zeros"));
    const blobs = join(corpus, id ?? "", "blobs/sha256");
    const packed = readdirSync(blobs)
      .map((name) => readFileSync(join(blobs, name)))
      .find((bytes) => bytes[0] === 0x1f);
    expect(() => execFileSync("gzip", ["-t"], { input: packed, stdio: ["pipe", "pipe", "pipe"] })).not.toThrow();
  });
});

function digestOfTree(directory: string): string {
  const hash = createHash("sha256");
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }).sort((one, other) =>
    join(one.parentPath, one.name) < join(other.parentPath, other.name) ? -1 : 1,
  )) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path.slice(directory.length)}\0`);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}
