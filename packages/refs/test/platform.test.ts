import * as fc from "fast-check";
import { describe, expect, it, vi } from "vitest";

import {
  type Descriptor,
  digestOf,
  DOCKER_MANIFEST,
  formatPlatform,
  hostPlatform,
  matchPlatform,
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

  it.each(["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "linux/amd64/\n", `linux/${"x".repeat(65)}`])(
    "refuses %j",
    (text) => {
      expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: "platform_invalid" }));
    },
  );

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
