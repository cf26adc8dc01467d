import { describe, expect, it } from "vitest";

import { formatSize, parseSize } from "../src/size.js";

describe("parseSize()", () => {
  it.each([
    ["4096", 4096],
    ["512M", 512 * 2 ** 20],
    ["1.5G", 1.5 * 2 ** 30],
    ["2GiB", 2 * 2 ** 30],
    ["16t", 16 * 2 ** 40],
  ])("takes %s as %d bytes", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(["", "M", "-1", "1e3", "0x10", " 5", "1.3", "9999999999999999T", "5X"])("refuses %j", (text) => {
    expect(() => parseSize(text)).toThrow("expected bytes");
  });
});

describe("formatSize()", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [200 * 2 ** 20, "200 MiB"],
    [5 * 2 ** 50, "5120 TiB"],
  ])("shows %d as %s", (bytes, text) => expect(formatSize(bytes)).toBe(text));
});
