import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { describe, expect, it } from "vitest";

const PACKAGES = join(import.meta.dirname, "../../../packages");

describe.each(readdirSync(PACKAGES))("packages/%s", (name) => {
  const examples = join(PACKAGES, name, "examples");
  const files = existsSync(examples) ? readdirSync(examples) : [];

  it("shows at least one example in its README", () => {
    const readme = readFileSync(join(PACKAGES, name, "README.md"), "utf8");
    // a block that names its file is held against it by docs.mjs
    expect(files.some((file) => readme.includes(`\n\`\`\`js examples/${file}\n`))).toBe(true);
  });

  it.each(files)("examples/%s runs", async (file) => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(examples, file)], { timeout: 20_000 });
    expect(stdout).not.toBe("");
  });
});
