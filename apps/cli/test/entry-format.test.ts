import { memoryLayer, memoryTree } from "@lamella/layer-format/testing";
import { describe, expect, it } from "vitest";

import { entryJson, entryLine } from "../src/entry-format.js";

describe("entryLine()", () => {
  it("shows the kinds that only layers have", () => {
    const { entries } = memoryLayer([
      { path: "dir", kind: "opaque", mode: 0 },
      { path: "dir/gone", kind: "whiteout", mode: 0 },
      { path: "file", content: "content", mode: 0o4755, uid: 1000 },
      { path: "twin", hardlinkTo: "file" },
    ]);
    expect(entries.map(entryLine)).toEqual([
      "o---------   - 0:0                   0 1970-01-01 00:00:00 dir\n",
      "w---------   - 0:0                   0 1970-01-01 00:00:00 dir/gone\n",
      "-rwsr-xr-x   - 1000:0                7 1970-01-01 00:00:00 file\n",
      "hrwsr-xr-x   - 1000:0                0 1970-01-01 00:00:00 twin link to file\n",
    ]);
  });

  it("counts the names of a tree's inodes and shows no byte that a terminal would act on", async () => {
    const tree = memoryTree([
      { path: "a\x1b[2J", linkTarget: "\x07" },
      { path: "null", kind: "char", device: { major: 1, minor: 3 }, mode: 0o1666 },
    ]);
    const lines: string[] = [];
    for await (const entry of tree.entries()) lines.push(entryLine(entry));
    expect(lines).toEqual([
      "drwxr-xr-x   1 0:0                   0 1970-01-01 00:00:00 .\n",
      "lrwxrwxrwx   1 0:0                   1 1970-01-01 00:00:00 a\\x1b[2J -> \\x07\n",
      "crw-rw-rwT   1 0:0                 1,3 1970-01-01 00:00:00 null\n",
    ]);
  });
});

describe("entryJson()", () => {
  it("gives a path that is no text exactly", () => {
    const [entry] = memoryLayer([{ path: "\xff", content: "", xattrs: { "user.x": "y" } }]).entries;
    if (entry === undefined) throw new Error("no entry");
    expect(entryJson(entry)).toMatchObject({
      path: "\\xff",
      pathHex: "ff",
      kind: "file",
      xattrs: { "user.x": "eQ==" },
    });
    expect(entryJson(entry)).not.toHaveProperty("links");
  });
});
