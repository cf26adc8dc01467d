import { describe, expect, it } from "vitest";

import { createNameHash } from "../src/ext4/name-hash.js";

const SEED: Uint8Array = Buffer.from("00112233445566778899aabbccddeeff", "hex");

describe("createNameHash()", () => {
  // From `debugfs -R "dx_hash -h half_md4 [-s SEED] NAME"`.
  it.each([
    ["a", 0x93752ee6, 0xd5fa7d7a],
    ["hello world", 0x1cdec484, 0x36f15d9e],
    ["x".repeat(32), 0x7ae82a38, 0xae38ae70],
    ["z".repeat(33), 0xa1ff3f12, 0xb8a27f84],
    ["n".repeat(255), 0xd0365ba6, 0xc0f8fde8],
  ])("gives what e2fsprogs gives for %s, with a seed and without", (name, seeded, unseeded) => {
    expect(createNameHash(SEED)(name)).toBe(seeded);
    expect(createNameHash(new Uint8Array(16))(name)).toBe(unseeded);
  });

  it("does not depend on the names before", () => {
    const nameHash = createNameHash(SEED);
    nameHash("another");
    expect(nameHash("a")).toBe(0x93752ee6);
  });
});
