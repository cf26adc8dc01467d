import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { checkPage } from "../docs.mjs";

describe("checkPage()", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "docs-"));
    writeFileSync(join(directory, "a.mjs"), "one();\n");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function check(text: string): string[] {
    writeFileSync(join(directory, "README.md"), text);
    return checkPage(join(directory, "README.md"));
  }

  it("accepts a block that equals its file and a link that leads somewhere", () => {
    expect(check("See [a](a.mjs).\n\n```js a.mjs\none();\n```\n")).toEqual([]);
  });

  it("finds a block that differs from its file", () => {
    expect(check("```js a.mjs\ntwo();\n```\n")).toEqual(["the block a.mjs differs from the file"]);
  });

  it("finds a block whose file is missing and a dead link", () => {
    expect(check("[x](gone.md)\n\n```js b.mjs\n```\n")).toEqual([
      "the block b.mjs names no file",
      "the link gone.md leads nowhere",
    ]);
  });
});
