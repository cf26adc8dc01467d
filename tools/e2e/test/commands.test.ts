import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers, startRegistry } from "@lamella/demo/sample";
import type { LocalRegistry } from "@lamella/demo/sample";
import { createRegistryClient } from "@lamella/oci-client";
import { parseReference } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

/** The commands as a user runs them, on the sample image. Needs no root. */
describe("lamella", () => {
  let registry: LocalRegistry;
  let work = "";
  let source = "";

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-commands-"));
    registry = await startRegistry(join(work, "registry"));
    source = `${registry.address}/sample`;
    await using client = createRegistryClient();
    await pushImage(client.repository(parseReference(source)), "latest", sampleLayers());
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });

  async function stdout(...args: string[]): Promise<string> {
    const run = await lamella([...args, "--root", join(work, "root")]);
    expect(run.status, run.stderr).toBe(0);
    return run.stdout;
  }

  it("pull says what came", async () => {
    const { reference, digest, layers } = JSON.parse(await stdout("pull", source, "--json"));
    expect(reference).toBe(`${source}:latest`);
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(layers).toHaveLength(3);
  });

  it("pull shows progress as JSON lines when asked", async () => {
    const run = await lamella(["pull", source, "--progress", "json", "--root", join(work, "progress-root")]);
    const events = run.stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.at(0)).toMatchObject({ phase: "pull", state: "waiting" });
    expect(events.at(-1)).toMatchObject({ phase: "pull", state: "done" });
  });

  it("pull keeps an image of an archive under the name that it is given", async () => {
    const archive = join(work, "sample.tar");
    await stdout("copy", source, `docker-archive:${archive}:sample:latest`);
    const nameless = `oci-archive:${join(work, "nameless.tar")}`;
    await stdout("copy", source, nameless);
    expect(await lamella(["pull", nameless, "--root", join(work, "root")])).toMatchObject({ status: 2 });
    const root = join(work, "import-root");
    const run = await lamella([
      "pull",
      `docker-archive:${archive}`,
      "--name",
      "example.com/sample:1",
      "--json",
      "--root",
      root,
    ]);
    expect(JSON.parse(run.stdout)).toMatchObject({ reference: "example.com/sample:1" });
    expect(await stdout("cat", `oci:${root}:example.com/sample:1`, "/etc/motd")).toMatch(/^Lamella/);
  });

  it("pull asks the mirrors that a hosts directory names", async () => {
    const hosts = join(work, "certs.d");
    mkdirSync(join(hosts, "registry.invalid"), { recursive: true });
    writeFileSync(join(hosts, "registry.invalid/hosts.toml"), `[host."http://${registry.address}"]\n`);
    const { reference } = JSON.parse(await stdout("pull", "registry.invalid/sample", "--json", "--hosts-dir", hosts));
    expect(reference).toBe("registry.invalid/sample:latest");
  });

  it("ls lists a directory as ls -l does", async () => {
    expect(await stdout("ls", source, "/etc")).toMatch(/^-rw-r--r-- +1 0:0 +\d+ 2025-01-01 00:00:00 etc\/motd$/m);
    expect(await stdout("ls", source, "/")).toMatch(/^drwxrwxrwt .* tmp$/m);
  });

  it("ls gives everything below a directory as JSON lines", async () => {
    const entries = (await stdout("ls", source, "/", "--recursive", "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const at = (path: string): unknown => entries.find((entry) => entry.path === path);
    expect(at("etc/npm-sample")).toMatchObject({ kind: "file", xattrs: { "user.lamella.sample": btoa("an xattr") } });
    expect(at("usr/bin/npm")).toMatchObject({ kind: "symlink", linkTarget: "../lib/node_modules/npm/bin/npm-cli.js" });
    expect(at("usr/bin/npm-cli.js")).toMatchObject({ kind: "file", links: 2 });
    expect(at("dev/null")).toMatchObject({ kind: "char", deviceMajor: 1, deviceMinor: 3 });
    expect(at("var/cache/stale")).toBeUndefined();
    expect(entries.some(({ path }) => path.startsWith("usr/lib/node_modules/npm/docs/"))).toBe(false);
  });

  it("cat follows symlinks inside the image", async () => {
    expect(await stdout("cat", source, "/usr/bin/npm")).toBe(
      await stdout("cat", source, "usr/lib/node_modules/npm/bin/npm-cli.js"),
    );
    expect(await stdout("cat", source, "/etc/motd")).toMatch(/^Lamella: this machine booted/);
  });

  it("ls and cat report a path that is not there with status 3", async () => {
    for (const command of ["ls", "cat"]) {
      const run = await lamella([command, source, "/no/such", "--root", join(work, "root")]);
      expect(run).toMatchObject({ status: 3, stdout: "", stderr: expect.stringContaining('cannot find "/no/such"') });
    }
  });

  it("reads its own store as an OCI layout", async () => {
    await stdout("pull", source);
    expect(await stdout("cat", `oci:${join(work, "root")}:${source}:latest`, "/etc/motd")).toMatch(/^Lamella/);
  });

  it.each(["ext4", "erofs", "cpio"])("disk gives the same %s bytes to a file, to stdout and again", async (format) => {
    const output = join(work, `disk.${format}`);
    const { digest, sizeBytes } = JSON.parse(await stdout("disk", source, "-o", output, "--digest", "--json"));
    const bytes = readFileSync(output);
    expect(bytes.length).toBe(sizeBytes);
    expect(digest).toBe(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
    const again = JSON.parse(
      await stdout("disk", source, "-o", join(work, "again"), "--format", format, "--digest", "--json"),
    );
    expect(again.digest).toBe(digest);
    const piped = await lamella([
      "disk",
      source,
      "-o",
      "-",
      "--format",
      format,
      "--json",
      "--digest",
      "--quiet",
      "--root",
      join(work, "root"),
    ]);
    expect(JSON.parse(piped.stderr)).toMatchObject({ digest, sizeBytes });
  });

  it("disk makes an ext4 of the size asked for", async () => {
    const output = join(work, "sized.ext4");
    const { sizeBytes } = JSON.parse(
      await stdout("disk", source, "-o", output, "--size", "64M", "--label", "sample", "--json"),
    );
    expect(sizeBytes).toBe(64 * 2 ** 20);
    expect(
      readFileSync(output)
        .subarray(1024 + 120, 1024 + 126)
        .toString(),
    ).toBe("sample");
  });

  it("refuses what it does not know with status 2", async () => {
    for (const args of [
      ["frob"],
      ["disk", source],
      ["disk", source, "-o", "x", "--format", "ntfs"],
      ["ls", source, "--platform", "a"],
    ]) {
      const run = await lamella(args);
      expect(run.status, args.join(" ")).toBe(2);
      expect(run.stderr, args.join(" ")).toMatch(/^error: .*\n\(add --help/);
    }
    expect((await lamella(["disk", source, "-o", "x.erofs", "--size", "1G"])).status).toBe(2);
  });
});
