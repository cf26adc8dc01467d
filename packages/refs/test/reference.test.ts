import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  type Digest,
  familiarReference,
  formatReference,
  isTag,
  parseReference,
  type Reference,
  RefsError,
  withDefaultTag,
} from "../src/index.js";

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = `sha256:${HEX}` as const;

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof RefsError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("parseReference()", () => {
  it.each([
    ["alpine", "docker.io/library/alpine"],
    ["alpine:3.20", "docker.io/library/alpine:3.20"],
    ["user/app", "docker.io/user/app"],
    ["docker.io/alpine", "docker.io/library/alpine"],
    ["index.docker.io/alpine:1", "docker.io/library/alpine:1"],
    ["index.docker.io/user/app", "docker.io/user/app"],
    ["localhost/app", "localhost/app"],
    ["localhost:5000/app:1", "localhost:5000/app:1"],
    ["LOCAL/app", "LOCAL/app"],
    ["ghcr.io/a/b/c", "ghcr.io/a/b/c"],
    ["127.0.0.1:5000/app", "127.0.0.1:5000/app"],
    ["[::1]:5000/app:1", "[::1]:5000/app:1"],
    ["[fe80::1]/app", "[fe80::1]/app"],
    ["xn--7o8h.com/myimage", "xn--7o8h.com/myimage"],
    ["foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080"],
    ["alpine:1@" + DIGEST, "docker.io/library/alpine:1@" + DIGEST],
    ["alpine@" + DIGEST, "docker.io/library/alpine@" + DIGEST],
    [`docker.io/library/${HEX}`, `docker.io/library/${HEX}`],
    [`${HEX}:tag`, `docker.io/library/${HEX}:tag`],
  ])("reads %s", (text, full) => {
    expect(formatReference(parseReference(text))).toBe(full);
  });

  it.each([
    ["", "reference_empty"],
    [HEX, "reference_format"],
    ["Alpine", "reference_uppercase"],
    ["ghcr.io/User/app", "reference_uppercase"],
    ["-a.b/app", "reference_format"],
    ["a..b/app", "reference_format"],
    ["[::1/app", "reference_format"],
    ["[::1]x/app", "reference_format"],
    ["[]:5000/app", "reference_format"],
    ["[::1]:/app", "reference_format"],
    ["host:/app", "reference_format"],
    ["host:port/app", "reference_format"],
    ["host:1:2/app", "reference_format"],
    ["a.b/", "reference_format"],
    ["/app", "reference_format"],
    ["a__b---c.d/e", "reference_format"],
    ["a//b", "reference_format"],
    ["a/../b", "reference_format"],
    ["a._b", "reference_format"],
    ["a___b", "reference_format"],
    ["-a", "reference_format"],
    ["a-", "reference_format"],
    ["a b", "reference_format"],
    ["a\n", "reference_format"],
    ["é", "reference_format"],
    ["https://a.b/app", "reference_format"],
    ["a:", "reference_tag"],
    ["a:.x", "reference_tag"],
    ["a:b:c", "reference_tag"],
    ["a:x\n", "reference_tag"],
    [`a:${"x".repeat(129)}`, "reference_tag"],
    [`a.b/${"x".repeat(256)}`, "reference_too_long"],
    ["x".repeat(248), "reference_too_long"],
    ["a@", "digest_invalid"],
    ["a@sha256:abc", "digest_invalid"],
    [`a@sha256:${HEX.toUpperCase()}`, "digest_invalid"],
    ["a@sha256:../../x", "reference_format"],
    ["docker.io/a@sha256:../../x", "digest_invalid"],
    ["a@md5:d41d8cd98f00b204e9800998ecf8427e", "digest_unsupported"],
    [`a@${DIGEST}@${DIGEST}`, "digest_invalid"],
    [`a@@${DIGEST}`, "digest_invalid"],
  ])("refuses %j", (text, code) => {
    expect(codeOf(() => parseReference(text))).toBe(code);
  });

  it("accepts a repository of 255 characters and a tag of 128", () => {
    const text = `a.b/${"x".repeat(255)}:${"t".repeat(128)}`;
    expect(formatReference(parseReference(text))).toBe(text);
  });

  it("escapes the text that it refuses", () => {
    expect(() => parseReference("a\u001b[31m\u202e")).toThrow(String.raw`\u001b[31m\u202e`);
  });
});

const component = fc.stringMatching(/^[a-z0-9]{1,8}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,4}){0,2}$/);
const domain = fc.oneof(
  fc.constantFrom("docker.io", "localhost", "ghcr.io", "[::1]:5000", "127.0.0.1:5000", "HOST"),
  fc.stringMatching(/^[a-z0-9]{1,5}(?:-[a-z0-9]{1,3})?\.[a-z]{2,3}(?::[0-9]{1,5})?$/),
);
const reference: fc.Arbitrary<Reference> = fc
  .record(
    {
      domain: domain.filter((name) => name !== "index.docker.io"),
      components: fc.array(component, { minLength: 1, maxLength: 4 }),
      tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/),
      digest: fc.constantFrom<Digest>(DIGEST, `sha384:${"0f".repeat(48)}`, `sha512:${"0f".repeat(64)}`),
    },
    { requiredKeys: ["domain", "components"] },
  )
  .map(({ domain, components, ...rest }) => {
    const path = components.join("/");
    return { domain, path: domain === "docker.io" && components.length === 1 ? `library/${path}` : path, ...rest };
  });

describe("formatReference() and familiarReference()", () => {
  it("give the same reference when parsed again", () => {
    fc.assert(
      fc.property(reference, (original) => {
        expect(parseReference(formatReference(original))).toEqual(original);
        expect(parseReference(familiarReference(original))).toEqual(original);
      }),
      { numRuns: 500 },
    );
  });

  it("change nothing of any text that is read", () => {
    const piece = fc.oneof(
      fc.constantFrom("a", "b1", "localhost", "docker.io", "library", HEX, DIGEST),
      fc.stringMatching(/^[Z0._\-/:@[\]% \n]$/),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("");
        if (codeOf(() => parseReference(text)) !== "accepted") return;
        const read = parseReference(text);
        expect(parseReference(formatReference(read))).toEqual(read);
        expect(parseReference(familiarReference(read))).toEqual(read);
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ["docker.io/library/alpine:1", "alpine:1"],
    ["docker.io/user/app", "user/app"],
    ["docker.io/library/a/b", "library/a/b"],
    ["ghcr.io/library/alpine", "ghcr.io/library/alpine"],
    ["docker.io/localhost/app", "docker.io/localhost/app"],
    ["docker.io/a.b/app", "docker.io/a.b/app"],
    [`docker.io/library/${HEX}`, `docker.io/library/${HEX}`],
  ])("shorten %s to %s", (full, familiar) => {
    expect(familiarReference(parseReference(full))).toBe(familiar);
  });
});

describe("withDefaultTag()", () => {
  it("adds latest only to a reference that has neither tag nor digest", () => {
    expect(formatReference(withDefaultTag(parseReference("a")))).toBe("docker.io/library/a:latest");
    expect(formatReference(withDefaultTag(parseReference("a:1")))).toBe("docker.io/library/a:1");
    expect(formatReference(withDefaultTag(parseReference(`a@${DIGEST}`)))).toBe(`docker.io/library/a@${DIGEST}`);
  });
});

describe("isTag()", () => {
  it("tells tags from digests and paths", () => {
    expect(["latest", "_", "1.2-x", "A"].every(isTag)).toBe(true);
    expect(["", ".a", "-a", "a/b", "a:b", DIGEST, "x".repeat(129), "a\n"].some(isTag)).toBe(false);
  });
});
