import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

const PACKAGES = join(import.meta.dirname, "../../../packages");
let work = "";

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "examples-"));
});
afterAll(() => rmSync(work, { recursive: true }));

describe.each(readdirSync(PACKAGES))("packages/%s", (name) => {
  const examples = join(PACKAGES, name, "examples");
  const files = existsSync(examples) ? readdirSync(examples) : [];

  it("shows at least one example in its README", () => {
    const readme = readFileSync(join(PACKAGES, name, "README.md"), "utf8");
    // a block that names its file is held against it by docs.mjs
    expect(files.some((file) => readme.includes(`\n\`\`\`js examples/${file}\n`))).toBe(true);
  });

  it.each(files)("examples/%s runs", async (file) => {
    // some leave what they made to be looked at
    const env = { ...process.env, TMPDIR: work };
    const { stdout } = await promisify(execFile)(process.execPath, [join(examples, file)], { env, timeout: 20_000 });
    expect(stdout).not.toBe("");
  });
});
