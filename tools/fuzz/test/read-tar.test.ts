import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createRandom } from "../src/random.js";
import { mutateTar } from "../src/mutate-tar.js";
import { cut, readTar } from "../src/read-tar.js";
import { encodeTar, generatedTar } from "../src/tar-arbitrary.js";

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 2000 })), {
  minLength: 1,
  maxLength: 5,
});

describe("a generated tar", () => {
  it("reads the same however it is cut into chunks", () => {
    let taken = 0;
    fc.assert(
      fc.property(generatedTar.map(encodeTar), sizes, (tar, pieces) => {
        const whole = readTar([tar], { keepContents: true });
        expect(readTar(cut(tar, pieces), { keepContents: true })).toEqual(whole);
        if (whole.refusal === undefined) taken++;
      }),
      { numRuns: 400 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  it("reads the same however it is cut into chunks once it is damaged", () => {
    let refused = 0;
    fc.assert(
      fc.property(generatedTar.map(encodeTar), fc.nat(), sizes, (tar, seed, pieces) => {
        const damaged = mutateTar(tar, createRandom(seed), tar);
        const limits = { fileBytes: 2 ** 22 };
        const whole = readTar([damaged], { limits });
        expect(readTar(cut(damaged, pieces), { limits })).toEqual(whole);
        if (whole.refusal !== undefined) refused++;
      }),
      { numRuns: 400 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});
