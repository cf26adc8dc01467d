import { describe, expect, it } from "vitest";

import { parseDigest, parsePlatform, parseReference, RefsError } from "../src/index.js";

const LENGTH = 40_000;
const UNITS = ["a", "a.", "a_", "a-", "a/", "-", "_", ".", ":", "@", "[", "[:", "A", "0", "f", "+", "%41", "(", "a:a@"];
const TAILS = ["", "/x", "!", ":", "/", "-", "-.b/x", "!.b/x", `@sha256:${"f".repeat(64)}`];

/** The best of five, in milliseconds: what a busy machine adds is left out. */
function timeOf(parse: (text: string) => unknown, text: string): number {
  const times = Array.from({ length: 5 }, () => {
    const started = performance.now();
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof RefsError)) throw error;
    }
    return performance.now() - started;
  });
  return Math.min(...times);
}

describe("40,000 characters", () => {
  it.each([
    ["parseReference()", (text: string) => parseReference(text)],
    ["parseReference() after a host", (text: string) => parseReference(`a.b/${text}`)],
    ["parseReference() as a tag", (text: string) => parseReference(`a:${text}`)],
    ["parseReference() as a digest", (text: string) => parseReference(`a@sha256:${text}`)],
    ["parsePlatform()", (text: string) => parsePlatform(text)],
    ["parsePlatform() as an OS version", (text: string) => parsePlatform(`linux(${text})/amd64`)],
    ["parseDigest()", (text: string) => parseDigest(text)],
  ] as const)("cost %s time that grows with their number alone", (name, parse) => {
    let slowest = { time: 0, unit: "", tail: "" };
    for (const unit of UNITS) {
      for (const tail of TAILS) {
        const text = (length: number): string => unit.repeat(Math.floor(length / unit.length)) + tail;
        const time = timeOf(parse, text(LENGTH));
        if (time > slowest.time) slowest = { time, unit, tail };
        expect(time, `${unit} ... ${tail}`).toBeLessThan(20 + 10 * timeOf(parse, text(LENGTH / 4)));
      }
    }
    const { time, unit, tail } = slowest;
    console.log(`${name}: at most ${time.toFixed(2)} ms for 40,000 characters (${unit}${unit}...${tail.slice(0, 8)})`);
  });
});
