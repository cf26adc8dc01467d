import * as fc from "fast-check";
import { describe, expect, it, vi } from "vitest";

import {
  type Descriptor,
  digestOf,
  DOCKER_MANIFEST,
  formatPlatform,
  hostPlatform,
  matchPlatform,
  normalizePlatform,
  OCI_INDEX,
  OCI_MANIFEST,
  parsePlatform,
  selectPlatform,
} from "../src/index.js";

function manifest(platform?: string, extra: Partial<Descriptor> = {}): Descriptor {
  const [os = "", architecture = "", variant] = platform?.split("/") ?? [];
  return {
    mediaType: OCI_MANIFEST,
    digest: digestOf(new TextEncoder().encode(`${platform} ${JSON.stringify(extra)}`)),
    size: 1,
    ...(platform !== undefined && { platform: { os, architecture, ...(variant !== undefined && { variant }) } }),
    ...extra,
  };
}

describe("parsePlatform()", () => {
  it.each([
    ["linux/amd64", "linux/amd64"],
    ["Linux/X86_64", "linux/amd64"],
    ["linux/x86-64/v1", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64/v3"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm64/8", "linux/arm64"],
    ["linux/arm64/v9.0", "linux/arm64/v9"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/6", "linux/arm/v6"],
    ["linux/armhf", "linux/arm/v7"],
    ["linux/armel", "linux/arm/v6"],
    ["linux/i386", "linux/386"],
    ["macos/arm64", "darwin/arm64"],
    ["linux/riscv64", "linux/riscv64"],
  ])("reads %s as %s", (text, normal) => {
    expect(formatPlatform(parsePlatform(text))).toBe(normal);
    expect(parsePlatform(normal)).toEqual(parsePlatform(text));
  });

  it.each([
    "",
    "linux/",
    "plan10",
    "x86_64(1)",
    "linux(",
    "linux(1",
    "linux)1(/a",
    "linux(1)x/a",
    "linux(++gpu)/a",
    "linux(+)/a",
    "linux(%)/a",
    "linux(%ff)/a",
    "linux(a b)/a",
    "linux.5/a",
    "/amd64",
    "a/b/c/d",
    "linux/amd 64",
    "linux/amd64/\n",
    `linux/${"x".repeat(65)}`,
  ])("refuses %j", (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: "platform_invalid" }));
  });

  it("treats names of object members as plain names", () => {
    expect(formatPlatform(parsePlatform("linux/__proto__"))).toBe("linux/__proto__");
    expect(formatPlatform(parsePlatform("linux/constructor"))).toBe("linux/constructor");
  });

  it("is unchanged by a second reading", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z0-9]{1,6}\/(amd64|arm|arm64|386|[a-z]{1,5})(\/v?[0-9]{1,2}(\.[0-9])?)?$/),
        (text) => {
          const once = formatPlatform(parsePlatform(text));
          expect(formatPlatform(parsePlatform(once))).toBe(once);
        },
      ),
    );
  });
});

describe("parsePlatform() of a lone word", () => {
  const host = parsePlatform("linux/aarch64");

  it.each([
    ["linux", "linux/arm64"],
    ["windows(10.0.17763)", "windows(10.0.17763)/arm64"],
    ["linux(+erofs)", "linux(+erofs)/arm64"],
    ["amd64", "linux/amd64"],
    ["armel", "linux/arm/v6"],
    ["X86-64", "linux/amd64"],
  ])("completes %s from the host", (text, normal) => {
    expect(formatPlatform(parsePlatform(text, host))).toBe(normal);
  });

  it("takes this machine where no host is given", () => {
    expect(parsePlatform("linux")).toEqual(hostPlatform());
  });
});

describe("formatPlatform()", () => {
  const word = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
  const anyText = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
  const platform = fc.record(
    {
      os: word,
      architecture: word,
      variant: word,
      osVersion: anyText,
      osFeatures: fc.array(anyText, { maxLength: 3 }),
    },
    { requiredKeys: ["os", "architecture"] },
  );

  it("is read back as the same platform, whatever its version and features", () => {
    fc.assert(
      fc.property(platform, (original) => {
        expect(parsePlatform(formatPlatform(original))).toEqual(normalizePlatform(original));
      }),
      { numRuns: 500 },
    );
  });

  it("shows an untrusted platform without a character that could deceive", () => {
    const shown = formatPlatform({ os: "li\u001b[31mnux", architecture: "a/b", variant: "\u202e", osVersion: "1)/x" });
    expect(shown).toBe("li%1B%5B31mnux(1%29%2Fx)/a%2Fb/%E2%80%AE");
    expect(() => parsePlatform(shown)).toThrow(expect.objectContaining({ code: "platform_invalid" }));
  });
});

describe("matchPlatform()", () => {
  it.each([
    ["linux/arm/v5", "linux/arm/v7", true],
    ["linux/arm/v7", "linux/arm/v6", false],
    ["linux/arm", "linux/arm/v7", true],
    ["linux/amd64", "linux/amd64/v3", true],
    ["linux/amd64/v2", "linux/amd64/v3", true],
    ["linux/amd64/v3", "linux/amd64", false],
    ["linux/386", "linux/amd64", true],
    ["linux/amd64", "linux/386", false],
    ["linux/arm/v7", "linux/arm64", true],
    ["linux/arm64", "linux/arm64/v9", true],
    ["linux/arm64/v8.5", "linux/arm64/v9", true],
    ["linux/arm64/v8.6", "linux/arm64/v9", false],
    ["linux/arm64/v9", "linux/arm64/v9.2", true],
    ["linux/arm64", "linux/amd64", false],
    ["windows/amd64", "linux/amd64", false],
    ["linux/s390x", "linux/s390x", true],
  ])("offered %s, wanted %s: %s", (offered, wanted, fits) => {
    expect(matchPlatform(parsePlatform(offered), parsePlatform(wanted))).toBe(fits);
  });

  it("refuses an image that needs an OS feature which is not wanted", () => {
    const wanted = parsePlatform("linux/amd64");
    const offered = { ...wanted, osFeatures: ["erofs"] };
    expect(matchPlatform(offered, wanted)).toBe(false);
    expect(matchPlatform(offered, { ...wanted, osFeatures: ["erofs"] })).toBe(true);
  });

  it("does not count win32k, which every Windows image has", () => {
    expect(matchPlatform(parsePlatform("windows(+win32k)/amd64"), parsePlatform("windows/amd64"))).toBe(true);
    expect(matchPlatform(parsePlatform("windows(+gpu+win32k)/amd64"), parsePlatform("windows/amd64"))).toBe(false);
    expect(matchPlatform(parsePlatform("linux(+win32k)/amd64"), parsePlatform("linux/amd64"))).toBe(false);
  });

  it("asks for the OS version on Windows alone", () => {
    const [seven, eight] = [parsePlatform("linux(7.1)/amd64"), parsePlatform("linux(8)/amd64")];
    expect(matchPlatform(seven, eight)).toBe(true);
  });

  it.each(["10.0", "ten.0.20348", "11.0.20348", "10.1.20348", "10.0.999999"])(
    "refuses an image for Windows %s on Windows Server 2022",
    (osVersion) => {
      const wanted = parsePlatform("windows(10.0.20348)/amd64");
      expect(matchPlatform({ ...wanted, osVersion }, wanted)).toBe(false);
    },
  );

  it("has no arm64 variant above v8.9 below v9", () => {
    expect(matchPlatform(parsePlatform("linux/arm64/v8.9"), parsePlatform("linux/arm64/v9.6"))).toBe(true);
    expect(matchPlatform(parsePlatform("linux/arm64/v8.10"), parsePlatform("linux/arm64/v9.6"))).toBe(false);
  });

  it("climbs down every rung of amd64 from v4, and none up", () => {
    const rungs = ["linux/amd64/v4", "linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v1", "linux/386"];
    for (const [at, wanted] of rungs.entries()) {
      const offered = rungs.map((text) => parsePlatform(text));
      const fits = offered.map((platform) => matchPlatform(platform, parsePlatform(wanted)));
      expect(fits).toEqual(rungs.map((_, index) => index >= at));
    }
  });

  it("asks for the OS version only when one is wanted", () => {
    const offered = { ...parsePlatform("windows/amd64"), osVersion: "10.0.1" };
    expect(matchPlatform(offered, parsePlatform("windows/amd64"))).toBe(true);
    expect(matchPlatform(offered, { ...parsePlatform("windows/amd64"), osVersion: "10.0.2" })).toBe(false);
  });
});

describe("selectPlatform()", () => {
  it("takes the highest rung, whatever the order", () => {
    const [v5, v6, v7, amd64] = [
      manifest("linux/arm/v5"),
      manifest("linux/arm/v6"),
      manifest("linux/arm/v7"),
      manifest("linux/amd64"),
    ];
    expect(selectPlatform([v5, amd64, v7, v6], parsePlatform("linux/arm/v7"))).toBe(v7);
    expect(selectPlatform([v5, amd64, v7, v6], parsePlatform("linux/arm/v6"))).toBe(v6);
    expect(selectPlatform([v5, v7], parsePlatform("linux/arm/v6"))).toBe(v5);
    expect(selectPlatform([v7], parsePlatform("linux/arm/v6"))).toBeUndefined();
    expect(selectPlatform([], parsePlatform("linux/amd64"))).toBeUndefined();
  });

  it("takes the first of equals", () => {
    const [first, second] = [manifest("linux/amd64"), manifest("linux/x86_64", { mediaType: DOCKER_MANIFEST })];
    expect(selectPlatform([first, second], parsePlatform("linux/amd64"))).toBe(first);
  });

  it("prefers the image for more of the wanted OS features", () => {
    const [plain, one, both, other] = [[], ["a"], ["a", "b"], ["c"]].map((osFeatures) =>
      manifest("linux/amd64", { platform: { os: "linux", architecture: "amd64", osFeatures } }),
    ) as [Descriptor, Descriptor, Descriptor, Descriptor];
    expect(selectPlatform([plain, one, both, other], parsePlatform("linux(+a+b)/amd64"))).toBe(both);
    expect(selectPlatform([plain, both, one, other], parsePlatform("linux(+a)/amd64"))).toBe(one);
    expect(selectPlatform([both, plain], parsePlatform("linux/amd64"))).toBe(plain);
  });

  it("prefers the newest Windows that the host runs, its revision counted as a number", () => {
    const [old, newer, tooNew] = ["10.0.20348.999", "10.0.20348.3091", "10.0.26100.1"].map((osVersion) =>
      manifest("windows/amd64", { platform: { os: "windows", architecture: "amd64", osVersion } }),
    ) as [Descriptor, Descriptor, Descriptor];
    expect(selectPlatform([old, newer, tooNew], parsePlatform("windows(10.0.20348)/amd64"))).toBe(newer);
    expect(selectPlatform([newer, old, tooNew], parsePlatform("windows(10.0.20348)/amd64"))).toBe(newer);
  });

  it("passes over attestations, artifacts and nested indexes", () => {
    const wanted = parsePlatform("linux/amd64");
    const others = [
      manifest("unknown/unknown"),
      manifest("linux/amd64", { annotations: { "vnd.docker.reference.type": "attestation-manifest" } }),
      manifest(undefined, { artifactType: "application/spdx+json" }),
      manifest("linux/amd64", { mediaType: OCI_INDEX }),
    ];
    const image = manifest("linux/amd64");
    expect(selectPlatform(others, wanted)).toBeUndefined();
    expect(selectPlatform([...others, image], wanted)).toBe(image);
  });

  it("takes a manifest without a platform only as the last resort", () => {
    const [unnamed, named] = [manifest(), manifest("linux/amd64")];
    expect(selectPlatform([unnamed, named], parsePlatform("linux/amd64"))).toBe(named);
    expect(selectPlatform([unnamed, named], parsePlatform("linux/s390x"))).toBe(unnamed);
  });
});

describe("hostPlatform()", () => {
  it("names this machine, and linux/amd64 where there is no process", () => {
    expect(formatPlatform(hostPlatform())).toMatch(/^linux\/(amd64|arm64|386|arm\/v7|ppc64le|s390x|riscv64|loong64)$/);
    vi.stubGlobal("process", undefined);
    try {
      expect(formatPlatform(hostPlatform())).toBe("linux/amd64");
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
