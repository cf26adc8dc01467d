import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Access, AccessAction } from "../src/index.js";
import { parseBasic } from "../src/basic-login.js";
import { formatScope, parseScopes } from "../src/token-scope.js";

const text = fc.string({ unit: "grapheme", maxLength: 20 });
const encoded = (plain: string): string => Buffer.from(plain, "utf8").toString("base64");

describe("parseBasic()", () => {
  it("reads what clients write, with colons in the password and any letters", () => {
    fc.assert(
      fc.property(text, text, (name, password) => {
        const username = `u${name.replaceAll(":", "")}`;
        expect(parseBasic(`Basic ${encoded(`${username}:${password}`)}`)).toEqual({ username, password });
        expect(parseBasic(`bAsIc  ${encoded(`${username}:${password}`)} `)).toEqual({ username, password });
      }),
    );
  });

  it("gives nothing for what is no pair, or not said so", () => {
    const strange = [null, "", "Basic", "Basic a", "Basic ====", "Bearer dTpw", "Basic /w==", "dTpw", "Basic dTpw x"];
    for (const header of [...strange, `Basic ${encoded(":password")}`, `Basic ${encoded("username")}`]) {
      expect(parseBasic(header)).toBeUndefined();
    }
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.string(), (header) => void parseBasic(`Basic ${header}`)));
  });
});

describe("parseScopes()", () => {
  const action = fc.constantFrom<AccessAction>("pull", "push", "delete");
  const name = fc.stringMatching(/^[a-z0-9]{1,8}(\/[a-z0-9]{1,8}){0,3}$/);
  const access = fc.record<Access>({ type: fc.constant("repository" as const), name, actions: fc.uniqueArray(action) });

  it("reads what a challenge says", () => {
    const things = fc.uniqueArray(access, { maxLength: 5, selector: (each) => each.name });
    fc.assert(
      fc.property(things, fc.boolean(), (wanted, inOne) => {
        const words = wanted.map(formatScope);
        expect(parseScopes(inOne ? [words.join(" ")] : words)).toEqual(wanted);
      }),
    );
  });

  it("takes several scopes of one repository for one", () => {
    expect(parseScopes(["repository:a:pull repository:a:push", "repository:a:pull,delete"])).toEqual([
      { type: "repository", name: "a", actions: ["pull", "push", "delete"] },
    ]);
  });

  it("knows the catalog, and nothing else of the registry", () => {
    expect(parseScopes(["registry:catalog:*", "registry:keys:*"])).toEqual([
      { type: "registry", name: "catalog", actions: ["*"] },
    ]);
  });

  it("gives only repositories that there can be, for any text", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.stringMatching(/^repository:[a-zA-Z./:%]{1,9}:pull$/))),
        (scopes) => {
          fc.pre(scopes.join(" ").split(" ").length <= 32);
          for (const each of parseScopes(scopes)) expect(each.name).toMatch(/^[a-z0-9]+([._/-]+[a-z0-9]+)*$/);
        },
      ),
    );
  });
});
