import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { SnapshotInfo } from "../src/index.js";
import { parseFilters } from "../src/node/filter.js";

function info(change: Partial<SnapshotInfo> = {}): SnapshotInfo {
  const at = new Date(0);
  return { kind: "active", name: "a", parent: undefined, labels: {}, createdAt: at, updatedAt: at, ...change };
}

describe("parseFilters()", () => {
  it.each<[filter: string, matching: Partial<SnapshotInfo>, other: Partial<SnapshotInfo>]>([
    ["name==a", {}, { name: "b" }],
    ["name!=b", {}, { name: "b" }],
    ["kind==view", { kind: "view" }, {}],
    ["parent", { parent: "p" }, {}],
    ['parent!=""', { parent: "p" }, {}],
    ['parent==""', {}, { parent: "p" }],
    ["labels.x", { labels: { x: "1" } }, { labels: { y: "1" } }],
    ["labels.x", { labels: { x: "1" } }, { labels: { x: "" } }],
    ["labels.x!=1", {}, { labels: { x: "1" } }],
    ['labels."x.y/z"==1', { labels: { "x.y/z": "1" } }, { labels: { x: "1" } }],
    ["labels.x.y==1", { labels: { "x.y": "1" } }, { labels: { x: "1" } }],
    ["labels.toString!=x", {}, { labels: { toString: "x" } }],
    ["name==/tmp/a", { name: "/tmp/a" }, {}],
    ['name=="a,b c\\"\\x41\\u00df\\n"', { name: 'a,b c"A\u00df\n' }, {}],
    ["name~=^ab+$", { name: "abb" }, { name: "abbc" }],
    ["name~=/^a.b/", { name: "a,b" }, { name: "b" }],
    ['name~=|^"\\|b$|', { name: "ab" }, { name: 'b"' }],
    ['name~="a\\\\d"', { name: "a1" }, { name: "ab" }],
    [" name == a , kind == active ", {}, { kind: "view" }],
    ["name==a,labels.x", { labels: { x: "1" } }, {}],
    ["", {}, {}],
  ])("%s", (filter, matching, other) => {
    const matches = parseFilters([filter]);
    expect(matches(info(matching))).toBe(true);
    expect(matches(info(other))).toBe(filter === "");
  });

  it("needs one of several filters, and of none matches everything", () => {
    const either = parseFilters(["name==a", "name==b"]);
    expect(["a", "b", "c"].map((name) => either(info({ name })))).toEqual([true, true, false]);
    expect(parseFilters([])(info())).toBe(true);
    expect(parseFilters()(info())).toBe(true);
  });

  it.each([
    "size==1",
    "labels",
    "name.x==1",
    "name=a",
    "name==",
    "name==a b",
    "name==a,",
    ",name==a",
    'name=="a',
    'name=="\\q"',
    "name~=(",
    "name~=/(/",
    "labels.==1",
  ])("refuses %s", (filter) => {
    expect(() => parseFilters([filter])).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });

  it("finds any name that is quoted, and never fails in another way than it says", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (name) => {
        const quoted = JSON.stringify(name).replaceAll(/\\[bf]/g, (escape) => (escape === "\\b" ? "\\x08" : "\\x0c"));
        expect(parseFilters([`name==${quoted}`])(info({ name }))).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (filter) => {
        try {
          parseFilters([filter]);
        } catch (error) {
          expect(error).toMatchObject({ code: "invalid_argument" });
        }
      }),
    );
  });
});
