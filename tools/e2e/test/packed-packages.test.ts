import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../../..");
const PACKAGES = ["refs", "oci-client", "database"];

/** What somebody gets who installs the packages from a registry: packed, into an empty project, on either Node. */
describe("packed packages in an empty project", () => {
  let project = "";

  beforeAll(async () => {
    project = mkdtempSync(join(tmpdir(), "lamella-packed-"));
    const pnpm = join(ROOT, "node_modules/.bin/pnpm");
    for (const name of PACKAGES)
      await run(pnpm, ["pack", "--pack-destination", project], { cwd: join(ROOT, "packages", name) });
    const tarballs = readdirSync(project).filter((file) => file.endsWith(".tgz"));
    expect(tarballs).toHaveLength(PACKAGES.length);
    writeFileSync(join(project, "package.json"), '{ "name": "empty", "private": true, "type": "module" }');
    const files = tarballs.map((file) => `./${file}`);
    await run("npm", ["install", "--no-audit", "--no-fund", ...files, "node@24"], { cwd: project });
  });
  afterAll(() => rmSync(project, { recursive: true, force: true }));

  const examples = PACKAGES.flatMap((name) => {
    const directory = join(ROOT, "packages", name, "examples");
    return readdirSync(directory).map((file) => [`${name}/${file}`, join(directory, file)] as const);
  });

  it.each(examples)("%s runs on this Node and on 24", async (_, example) => {
    const copy = join(project, basename(example));
    await run("cp", [example, copy]);
    const here = await run(process.execPath, [copy], { cwd: project });
    const there = await run(join(project, "node_modules/.bin/node"), [copy], { cwd: project });
    expect(here.stdout).not.toBe("");
    expect(there.stdout).toBe(here.stdout);
  });

  it("runs the newer Node that it says it does", async () => {
    const { stdout } = await run(join(project, "node_modules/.bin/node"), ["--version"]);
    expect(stdout).toMatch(/^v24\./);
  });
});
