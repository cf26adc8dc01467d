import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { coversScopes, mergeScopes, parseScopes, repositoryScope } from "../src/scope.js";

const scope = fc
  .tuple(fc.constantFrom("a", "b/c", "host:5000/d"), fc.subarray(["pull", "push", "delete", "*"], { minLength: 1 }))
  .map(([path, actions]) => repositoryScope(path, actions));

describe("mergeScopes()", () => {
  it("names each resource once, with all its actions", () => {
    const scopes = [
      "repository:a:push",
      "registry:catalog:*",
      "repository:h:5000/b:pull",
      "repository:a:pull,push",
      "odd",
    ];
    expect(mergeScopes(scopes)).toEqual([
      "repository:a:push,pull",
      "registry:catalog:*",
      "repository:h:5000/b:pull",
      "odd",
    ]);
  });

  it("covers all that went into it, and is its own merge", () => {
    fc.assert(
      fc.property(fc.array(scope), (scopes) => {
        const merged = mergeScopes(scopes);
        expect(coversScopes(merged, scopes)).toBe(true);
        expect(mergeScopes(merged)).toEqual(merged);
      }),
    );
  });
});

describe("coversScopes()", () => {
  it.each([
    [["repository:a:pull,push"], ["repository:a:pull"], true],
    [["repository:a:*"], ["repository:a:delete"], true],
    [["repository:a:pull"], ["repository:a:pull,push"], false],
    [["repository:a:pull"], ["repository:b:pull"], false],
    [["repository:a:pull"], ["repository:a/b:pull"], false],
    [[], ["repository:a:pull"], false],
    [["repository:a:pull"], [], true],
  ])("of %j for %j is %j", (granted, wanted, expected) => {
    expect(coversScopes(granted, wanted)).toBe(expected);
  });
});

describe("parseScopes()", () => {
  it("reads what a challenge lists", () => {
    expect(parseScopes(" repository:a:pull  registry:catalog:* ")).toEqual(["repository:a:pull", "registry:catalog:*"]);
    expect(parseScopes(undefined)).toEqual([]);
  });
});
