import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");

/** The floors are turbo's boundaries: tags in each package's turbo.json, rules in the root's. */
describe("the floors", { timeout: 60_000 }, () => {
  let copy = "";
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), "floors-"));
    const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: ROOT, encoding: "utf8" }).split(
      "\n",
    );
    for (const file of files.filter((name) => /(^|\/)(package|turbo)\.json$|\/src\/.*\.ts$|^pnpm-/.test(name))) {
      cpSync(join(ROOT, file), join(copy, file));
    }
    symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
    execFileSync("git", ["init", "-q"], { cwd: copy });
  });
  afterEach(() => rmSync(copy, { recursive: true }));

  function boundaries(): { status: number | null; output: string } {
    const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1" };
    const result = spawnSync(join(ROOT, "node_modules/.bin/turbo"), ["boundaries"], {
      cwd: copy,
      env,
      encoding: "utf8",
    });
    return { status: result.status, output: result.stdout + result.stderr };
  }

  function dependOn(importer: string, imported: string): void {
    const manifest = {
      name: `@lamella/${importer}`,
      version: "0.0.0",
      type: "module",
      dependencies: { [`@lamella/${imported}`]: "workspace:^" },
    };
    writeFileSync(join(copy, "packages", importer, "package.json"), JSON.stringify(manifest));
  }

  it("hold as they stand", () => {
    expect(boundaries()).toMatchObject({ status: 0 });
  });

  it("refuse a package that depends on a higher floor", () => {
    dependOn("refs", "image-store");
    expect(boundaries()).toMatchObject({ status: 1, output: expect.stringContaining("@lamella/image-store") });
  });

  it("refuse a package that depends on its sibling", () => {
    dependOn("oci-client", "layer-format");
    expect(boundaries()).toMatchObject({ status: 1, output: expect.stringContaining("@lamella/layer-format") });
  });

  it("refuse an import that the manifest does not name", () => {
    writeFileSync(join(copy, "packages/refs/src/up.ts"), 'export * from "@lamella/snapshot";\n');
    expect(boundaries()).toMatchObject({ status: 1, output: expect.stringContaining("@lamella/snapshot") });
  });
});
