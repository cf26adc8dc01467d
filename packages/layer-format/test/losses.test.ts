import { describe, expect, it } from "vitest";

import { createLossCollector } from "../src/losses.js";

describe("createLossCollector()", () => {
  it("counts every entry, and keeps the paths of the first ten", () => {
    const losses = createLossCollector();
    for (let index = 0; index < 25; index++) losses.add("xattrs", `f${index}`);
    losses.add("nanoseconds", "other");
    expect(losses.list()).toEqual([
      { what: "xattrs", count: 25, paths: Array.from({ length: 10 }, (_, index) => `f${index}`) },
      { what: "nanoseconds", count: 1, paths: ["other"] },
    ]);
  });

  it("gives an empty list where nothing is lost", () => {
    expect(createLossCollector().list()).toEqual([]);
  });
});
