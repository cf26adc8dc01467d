import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { beforeAll, describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");

describe("npm start", { timeout: 120_000 }, () => {
  let lines: string[] = [];
  beforeAll(async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, "tools/demo/dist/main.js")], {
      cwd: ROOT,
    });
    lines = stdout.split("\n");
  }, 120_000);

  it("pushes an image of three layers", () => {
    expect(lines.find((line) => line.startsWith("pushed"))).toMatch(
      /127\.0\.0\.1:\d+\/sample:latest {2}\(3 layers, \d+ entries/,
    );
  });

  it.each(["ext4", "erofs", "cpio"])("writes a disk in %s and says so", (format) => {
    const row = lines.find((line) => line.startsWith(`demo/sample.${format} `));
    expect(row).toMatch(new RegExp(`${format} +\\d+\\.\\d MiB +\\d+\\.\\d\\d +sha256:[0-9a-f]{64}$`));
    expect(existsSync(join(ROOT, `demo/sample.${format}`))).toBe(true);
  });

  it("names the next command, which works", async () => {
    const next =
      lines
        .find((line) => line.includes("npm start -- ls"))
        ?.trim()
        .split(" ")
        .slice(3) ?? [];
    const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, "apps/cli/dist/lamella.mjs"), ...next], {
      cwd: ROOT,
    });
    expect(stdout).toMatch(/ etc\/motd$/m);
  });
});
