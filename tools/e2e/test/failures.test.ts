import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { pushImage, sampleLayers, startRegistry } from "@lamella/demo/sample";
import type { LocalRegistry } from "@lamella/demo/sample";
import { createRegistryClient } from "@lamella/oci-client";
import { OCI_INDEX, parseReference } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";
import type { Run } from "./lamella.js";
import { startTamperingProxy } from "./tampering-proxy.js";
import type { Tamper } from "./tampering-proxy.js";

/** What goes wrong must end with the designed status and one clear line, and leave nothing behind. Needs no root. */
describe("lamella disk", () => {
  let registry: LocalRegistry;
  let work = "";
  let output = "";
  let manifest: Descriptor;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-failures-"));
    output = join(work, "disk.ext4");
    registry = await startRegistry(join(work, "registry"));
    await using client = createRegistryClient();
    const repository = client.repository(parseReference(`${registry.address}/sample`));
    await pushImage(repository, "latest", sampleLayers().slice(0, 1));
    manifest = await repository.resolve("latest");
    const manifests = [{ ...manifest, platform: { os: "linux", architecture: "riscv64" } }];
    const index = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
    await repository.pushManifest("multi", { bytes: Buffer.from(index), mediaType: OCI_INDEX });
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });
  beforeEach(() => rmSync(join(work, "root"), { recursive: true, force: true }));

  async function disk(reference: string, ...options: string[]): Promise<Run> {
    return lamella(["disk", reference, "-o", output, "--root", join(work, "root"), ...options]);
  }

  function expectFailure(run: Run, status: number, message: RegExp): void {
    expect(run.stderr).toMatch(message);
    expect(run.status).toBe(status);
    expect(run.stdout).toBe("");
    // one line that says what, and at most one that says what to do
    const lines = run.stderr.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^lamella: cannot |^error: /);
    expect(lines.length).toBeLessThanOrEqual(2);
    expect(readdirSync(work).toSorted()).toEqual(existsSync(join(work, "root")) ? ["registry", "root"] : ["registry"]);
    expectNothingPartial();
  }

  function expectNothingPartial(): void {
    const root = join(work, "root");
    if (!existsSync(root)) return;
    const left = readdirSync(root, { recursive: true, encoding: "utf8" });
    expect(left.filter((name) => name.startsWith("ingest/") || name.startsWith("layers/"))).toEqual([]);
    expect(JSON.parse(readFileSync(join(root, "index.json"), "utf8"))).toMatchObject({ manifests: [] });
  }

  /** A layer is the only blob that is compressed; each is changed by `change`. */
  const onLayers =
    (change: (body: Buffer) => Buffer | undefined): Tamper =>
    (path, body) =>
      path.includes("/blobs/") && body[0] === 0x1f ? change(body) : body;

  it("refuses a corrupt blob with status 5", async () => {
    await using proxy = await startTamperingProxy(
      registry.address,
      onLayers((body) => {
        body.writeUInt8(body.readUInt8(body.length >> 1) ^ 1, body.length >> 1);
        return body;
      }),
    );
    expectFailure(await disk(`${proxy.address}/sample`), 5, /cannot /);
  });

  it("refuses another blob of the same size with status 5, naming the digests", async () => {
    const other = (body: Buffer): Buffer => {
      const tar = gunzipSync(body);
      const packed = gzipSync(tar, { level: 0 });
      return Buffer.concat([packed, Buffer.alloc(Math.max(0, body.length - packed.length))]).subarray(0, body.length);
    };
    await using proxy = await startTamperingProxy(registry.address, onLayers(other));
    expectFailure(await disk(`${proxy.address}/sample`), 5, /cannot /);
  });

  it("refuses a manifest that is not the one its digest names with status 5", async () => {
    await using proxy = await startTamperingProxy(registry.address, (path, body) =>
      path.includes("/manifests/sha256:") ? Buffer.concat([body, Buffer.from(" ")]) : body,
    );
    const reference = `${proxy.address}/sample@${manifest.digest}`;
    expectFailure(await disk(reference), 5, /cannot .*(digest|bytes|longer)/);
  });

  it("refuses a truncated layer with status 5", async () => {
    await using proxy = await startTamperingProxy(
      registry.address,
      onLayers((body) => body.subarray(0, body.length - 1000)),
    );
    expectFailure(await disk(`${proxy.address}/sample`), 5, /cannot /);
  });

  it("gives up on a connection that breaks again and again with status 6", async () => {
    await using proxy = await startTamperingProxy(registry.address, (path, body) =>
      path.includes("/blobs/") && body.length > 100 ? undefined : body,
    );
    expectFailure(await disk(`${proxy.address}/sample`), 6, /cannot /);
  });

  it.each([
    ["tag", "sample:no-such-tag"],
    ["repository", "no-such-repository"],
    ["digest", `sample@sha256:${"0".repeat(64)}`],
  ])("reports an unknown %s with status 3", async (_, name) => {
    expectFailure(await disk(`${registry.address}/${name}`), 3, /cannot (resolve|fetch|read) /);
  });

  it("reports a platform that the image has not with status 3", async () => {
    const run = await disk(`${registry.address}/sample:multi`, "--platform", "linux/s390x");
    expectFailure(run, 3, /cannot find platform linux\/s390x in sha256:[0-9a-f]{64}: it has linux\/riscv64/);
  });

  it("reports a registry that is not there with status 6", async () => {
    expectFailure(await disk("127.0.0.1:9/sample"), 6, /cannot /);
  });

  it("stops at once on Ctrl-C, with status 130", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    const asked = once(silent, "request");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const args = ["disk", `127.0.0.1:${port}/sample`, "-o", output, "--root", join(work, "root")];
    const run = await lamella(args, { interrupt: asked });
    silent.closeAllConnections();
    silent.close();
    expect(run).toMatchObject({ status: 130, stderr: "lamella: interrupted by SIGINT\n" });
    expect(existsSync(output)).toBe(false);
  });

  it.each(["example.com/UPPER", "a//b", "sample:", `sample@sha256:abc`])(
    "refuses the reference %s with status 2",
    async (reference) => {
      expectFailure(await disk(reference), 2, /cannot parse/);
    },
  );

  it("refuses a disk that is too small for the image and leaves an old one alone", async () => {
    writeFileSync(output, "old");
    const run = await disk(`${registry.address}/sample`, "--size", "1M");
    expect(run.status).toBe(1);
    expect(run.stderr).toMatch(/^lamella: cannot .*(needs|bytes)/);
    expect(existsSync(output)).toBe(true);
    rmSync(output);
    expect(readdirSync(work).toSorted()).toEqual(["registry", "root"]);
  });
});
