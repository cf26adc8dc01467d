import { describe, expect, it } from "vitest";

import type { FileEntry } from "../page/api/types.js";
import { actOf, rowsOf, unasked } from "../page/image/tree-rows.js";
import type { Directory } from "../page/image/tree-rows.js";

function entry(path: string, kind: FileEntry["kind"] = "file"): FileEntry {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const rest = { mode: 0o644, uid: 0, gid: 0, size_bytes: 0, mtime: "2025-01-01T00:00:00Z", link_target: null };
  return { name, path, kind, change: "unchanged", layer: 0, ...rest };
}

const directory = (...entries: FileEntry[]): Directory => ({ entries, next: null, state: "loaded" });
const known = new Map([
  ["", directory(entry("bin", "directory"), entry("etc", "directory"), entry("hosts"))],
  ["etc", directory(entry("etc/apt", "directory"), entry("etc/passwd"))],
]);
const open = (...paths: string[]): ReadonlySet<string> => new Set(paths);
const shown = (rows: ReturnType<typeof rowsOf>): string[] =>
  rows.map((row) => `${row.level} ${row.kind === "entry" ? row.entry.path : row.kind}`);

describe("the lines of the tree", () => {
  it("show what is in open directories below them", () => {
    expect(shown(rowsOf(known, open()))).toEqual(["1 bin", "1 etc", "1 hosts"]);
    expect(shown(rowsOf(known, open("etc")))).toEqual(["1 bin", "1 etc", "2 etc/apt", "2 etc/passwd", "1 hosts"]);
  });

  it("say that something is being read, is empty, goes on, or could not be read", () => {
    const some = new Map<string, Directory>(known)
      .set("bin", { entries: [], next: null, state: "failed", error: "no" })
      .set("etc", { entries: [entry("etc/a")], next: "etc/a", state: "loaded" });
    const rows = rowsOf(some, open("bin", "etc"));
    expect(shown(rows)).toEqual(["1 bin", "2 failed", "1 etc", "2 etc/a", "2 more", "1 hosts"]);
    expect(shown(rowsOf(new Map([["", directory()]]), open()))).toEqual(["1 empty"]);
    expect(shown(rowsOf(new Map(), open()))).toEqual(["1 loading"]);
  });

  it("ask only for directories that are open, seen, and not known", () => {
    expect(unasked(new Map(), open())).toEqual([""]);
    expect(unasked(known, open("etc"))).toEqual([]);
    expect(unasked(known, open("etc", "etc/apt", "bin"))).toEqual(["bin", "etc/apt"]);
    expect(unasked(known, open("etc/apt"))).toEqual([]);
  });
});

describe("actOf()", () => {
  const rows = rowsOf(known, open("etc"));
  const [bin, etc, apt, passwd, hosts] = [0, 1, 2, 3, 4];
  it.each([
    ["goes down", bin, "ArrowDown", { act: "go", to: etc }],
    ["stays at the end", hosts, "ArrowDown", undefined],
    ["goes up", apt, "ArrowUp", { act: "go", to: etc }],
    ["stays at the top", bin, "ArrowUp", undefined],
    ["goes to the first", passwd, "Home", { act: "go", to: bin }],
    ["goes to the last", bin, "End", { act: "go", to: hosts }],
    ["opens", bin, "ArrowRight", { act: "open", path: "bin" }],
    ["goes into what is open", etc, "ArrowRight", { act: "go", to: apt }],
    ["does not go into a file", passwd, "ArrowRight", undefined],
    ["closes", etc, "ArrowLeft", { act: "close", path: "etc" }],
    ["goes out", passwd, "ArrowLeft", { act: "go", to: etc }],
    ["does not go out of the root", hosts, "ArrowLeft", undefined],
    ["opens and closes", bin, "Enter", { act: "open", path: "bin" }],
    ["opens and closes", etc, " ", { act: "close", path: "etc" }],
    ["goes by letter, around the end", hosts, "b", { act: "go", to: bin }],
    ["goes by letter, large or small", bin, "P", { act: "go", to: passwd }],
    ["knows no such letter", bin, "z", undefined],
    ["leaves other keys alone", bin, "Tab", undefined],
  ] as const)("%s: from line %i by %s", (_, at, key, act) => {
    expect(actOf(rows, at, key)).toEqual(act);
  });

  it("asks for the rest, or again, by Enter", () => {
    const more = rowsOf(new Map([["", { entries: [entry("a")], next: "a", state: "loaded" }]]), open());
    expect(actOf(more, 1, "Enter")).toEqual({ act: "load", path: "" });
    const failed = rowsOf(new Map([["", { entries: [], next: null, state: "failed" }]]), open());
    expect(actOf(failed, 0, " ")).toEqual({ act: "load", path: "" });
    expect(actOf(rowsOf(new Map(), open()), 0, "Enter")).toBeUndefined();
  });
});
