import { describe, expect, it } from "vitest";

import { planOptions } from "../src/disk-options.js";

describe("planOptions()", () => {
  it("passes on what was said and nothing else", () => {
    expect(planOptions("ext4", { size: 4096, label: "root" }, {})).toEqual({
      format: "ext4",
      sizeBytes: 4096,
      label: "root",
    });
    expect(planOptions("cpio", {}, {})).toEqual({ format: "cpio" });
  });

  it("takes the time from SOURCE_DATE_EPOCH", () => {
    expect(planOptions("erofs", {}, { SOURCE_DATE_EPOCH: "1735689600" })).toEqual({
      format: "erofs",
      epochSeconds: 1_735_689_600,
    });
  });

  it.each(["-1", "soon", "1e3", "9".repeat(20)])("refuses SOURCE_DATE_EPOCH %s", (text) => {
    expect(() => planOptions("ext4", {}, { SOURCE_DATE_EPOCH: text })).toThrow(/SOURCE_DATE_EPOCH/);
  });

  it.each([
    ["size", "erofs"],
    ["free", "cpio"],
    ["label", "cpio"],
    ["uuid", "cpio"],
  ] as const)("refuses --%s for %s, which has no use for it", (flag, format) => {
    expect(() => planOptions(format, { [flag]: flag === "label" || flag === "uuid" ? "x" : 1 }, {})).toThrow(
      expect.objectContaining({ code: "option_invalid" }),
    );
  });
});
