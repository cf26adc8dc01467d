import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";

import { fixtures, missingForFixtures } from "@lamella/fixtures";
import { missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const CLI = join(import.meta.dirname, "../../../apps/cli/dist/lamella.mjs");
const reason = missing(["taskset", "root"]) ?? missingForFixtures();

const DISKS = [
  ["ext4", []],
  ["ext4", ["--free", "64M", "--journal"]],
  ["erofs", []],
  ["erofs", ["--compress", "lz4"]],
  ["cpio", []],
] as const;

interface Circumstances {
  /** Put before the command. */
  readonly prefix?: readonly string[];
  readonly node?: string;
  readonly env?: NodeJS.ProcessEnv;
}

describe.skipIf(reason !== undefined)(`the bytes of an image's disk (${reason ?? "debian-slim"})`, () => {
  let work = "";
  let source = "";
  const expected: string[] = [];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-reproducible-"));
    source = `oci:${(await fixtures(["debian-slim"])).layout("debian-slim")}:latest`;
    await writeFile(join(work, "package.json"), '{ "name": "empty", "private": true }');
    await run("npm", ["install", "--no-audit", "--no-fund", "node@24"], { cwd: work });
    for (const [format, options] of DISKS) expected.push(await diskHash(format, options));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it.each<[string, () => Circumstances]>([
    ["at another time", () => ({})],
    [
      "in another locale and time zone",
      () => ({ env: { LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8", TZ: "Asia/Kathmandu" } }),
    ],
    ["on one core", () => ({ prefix: ["taskset", "--cpu-list", "0"] })],
    ["on Node 24", () => ({ node: join(work, "node_modules/.bin/node") })],
    [
      "on Node 24 and one core",
      () => ({ prefix: ["taskset", "--cpu-list", "0"], node: join(work, "node_modules/.bin/node") }),
    ],
  ])("are the same %s", async (_, circumstances) => {
    for (const [at, [format, options]] of DISKS.entries()) {
      expect(await diskHash(format, options, circumstances()), `${format} ${options.join(" ")}`).toBe(expected[at]);
    }
  });

  it("are others where the disk says when it was made", async () => {
    const env = { SOURCE_DATE_EPOCH: "1000000000" };
    for (const [at, [format, options]] of DISKS.entries()) {
      if (format !== "cpio") expect(await diskHash(format, options, { env })).not.toBe(expected[at]);
    }
  });

  it("are made by the newer Node, where a test says so", async () => {
    const { stdout } = await run(join(work, "node_modules/.bin/node"), ["--version"]);
    expect(stdout).toMatch(/^v24\./);
  });

  /** Of a disk made in a store of its own, so that nothing that was kept from another can make it the same. */
  async function diskHash(
    format: string,
    options: readonly string[],
    { prefix = [], node = process.execPath, env = {} }: Circumstances = {},
  ): Promise<string> {
    const place = await mkdtemp(join(work, "disk-"));
    const disk = join(place, "disk");
    const store = join(place, "root");
    const command = [
      ...prefix,
      node,
      CLI,
      "disk",
      "-q",
      source,
      "--format",
      format,
      "-o",
      disk,
      "--root",
      store,
      ...options,
    ];
    await run(command[0]!, command.slice(1), { cwd: place, env: { ...process.env, ...env } });
    const hash = createHash("sha256");
    await pipeline(createReadStream(disk), hash);
    await rm(place, { recursive: true });
    return hash.digest("hex");
  }
});
