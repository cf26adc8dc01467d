import { describe, expect, it, vi } from "vitest";

import { createDigester, digestAlgorithm, digestHex, digestOf, isDigest, parseDigest } from "../src/index.js";

const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

describe("parseDigest()", () => {
  it("accepts the three algorithms at their exact lengths", () => {
    for (const [algorithm, length] of [
      ["sha256", 64],
      ["sha384", 96],
      ["sha512", 128],
    ] as const) {
      const text = `${algorithm}:${"a".repeat(length)}`;
      expect(parseDigest(text)).toBe(text);
      expect(isDigest(text)).toBe(true);
      expect(() => parseDigest(`${text}a`)).toThrow(expect.objectContaining({ code: "digest_invalid" }));
      expect(isDigest(text.slice(0, -1))).toBe(false);
    }
  });

  it.each([
    ["", "digest_invalid"],
    [":", "digest_invalid"],
    ["sha256:", "digest_invalid"],
    ["sha256:../../etc/passwd", "digest_invalid"],
    [EMPTY.toUpperCase(), "digest_invalid"],
    [`sha256:${"A".repeat(64)}`, "digest_invalid"],
    [`sha256:${"a".repeat(63)}\n`, "digest_invalid"],
    [`${EMPTY}:x`, "digest_invalid"],
    ["md5:d41d8cd98f00b204e9800998ecf8427e", "digest_unsupported"],
    ["__proto__:aa", "digest_invalid"],
    ["constructor:aa", "digest_unsupported"],
    ["sha256+b64:aa", "digest_unsupported"],
    ["@sha256:aa", "digest_invalid"],
    ["sha256-:aa", "digest_invalid"],
    [":", "digest_invalid"],
  ])("refuses %j", (text, code) => {
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code }));
    expect(isDigest(text)).toBe(false);
  });
});

describe("createDigester()", () => {
  it("hashes alike whether the runtime brings a hash or not", () => {
    const bytes = new TextEncoder().encode("content");
    const native = (["sha256", "sha384", "sha512"] as const).map((algorithm) => digestOf(bytes, algorithm));
    vi.stubGlobal("process", undefined);
    try {
      const portable = (["sha256", "sha384", "sha512"] as const).map((algorithm) => digestOf(bytes, algorithm));
      expect(portable).toEqual(native);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("gives the digest of nothing for no bytes", () => {
    const digest = createDigester().digest();
    expect(digest).toBe(EMPTY);
    expect(digestAlgorithm(digest)).toBe("sha256");
    expect(digestHex(digest)).toBe(EMPTY.slice(7));
  });
});
