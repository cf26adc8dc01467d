import { describe, expect, it } from "vitest";

import { formatDuration, parseDuration } from "../src/duration.js";

describe("parseDuration()", () => {
  it.each([
    ["90s", 90_000],
    ["90", 90_000],
    ["10m", 600_000],
    ["1h", 3_600_000],
    ["2d", 172_800_000],
    ["0", 0],
  ])("reads %s", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each(["", "h", "1.5h", "-1s", "1 h", "1w"])("refuses %j", (text) => {
    expect(() => parseDuration(text)).toThrow("expected a time");
  });
});

describe("formatDuration()", () => {
  it.each([
    [0, "0s"],
    [90_000, "90s"],
    [3_600_000, "1h"],
    [5_400_000, "90m"],
    [172_800_000, "2d"],
  ])("writes %d ms as %s", (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });
});
