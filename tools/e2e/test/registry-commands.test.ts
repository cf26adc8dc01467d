import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers } from "@lamella/demo/sample";
import { startRegistry } from "@lamella/fixtures";
import type { RunningRegistry } from "@lamella/fixtures";
import { createRegistryClient } from "@lamella/oci-client";
import { missing, requireTool } from "@lamella/oracles";
import { digestOf, OCI_INDEX, OCI_MANIFEST, parseReference } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const reason = missing(["docker-registry", "skopeo"]);
const title =
  reason === undefined ? "registry commands, against Debian's registry and skopeo" : `registry commands: ${reason}`;

/** What we write skopeo reads, what it writes we read, and digests stay the same. */
describe.skipIf(reason !== undefined)(title, () => {
  let registry: RunningRegistry;
  let work = "";
  let image: Descriptor;
  let multi: Descriptor;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-registry-commands-"));
    const data = join(work, "registry");
    mkdirSync(data);
    registry = await startRegistry({ data, readOnly: false });
    const client = createRegistryClient();
    try {
      const repository = client.repository(parseReference(`${registry.address}/one/app`));
      await pushImage(repository, "v1", sampleLayers().slice(0, 1));
      image = await repository.resolve("v1");
      const manifests = [{ ...image, platform: { os: "linux", architecture: "amd64" } }];
      const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
      multi = await repository.pushManifest("multi", { bytes: index, mediaType: OCI_INDEX });
    } finally {
      await client.close();
    }
  }, 60_000);
  afterAll(async () => {
    await registry?.close();
    rmSync(work, { recursive: true, force: true });
  });

  async function stdout(...args: string[]): Promise<string> {
    const run = await lamella([...args, "--root", join(work, "root")]);
    expect(run.status, run.stderr).toBe(0);
    return run.stdout;
  }

  function skopeo(...args: string[]): string {
    return execFileSync(requireTool("skopeo"), args, { encoding: "utf8", env: { ...process.env, TMPDIR: work } });
  }

  const app = (tag: string): string => `${registry.address}/one/app:${tag}`;
  const at = (name: string): string => join(work, name);

  /** The digest that skopeo finds behind one of its own names. */
  function skopeoDigest(name: string): string {
    const raw = skopeo("inspect", "--raw", ...(name.startsWith("docker:") ? ["--tls-verify=false"] : []), name);
    return `sha256:${createHash("sha256").update(raw).digest("hex")}`;
  }

  it("copy keeps digests from a registry to a layout, an oci-archive and back, for skopeo too", async () => {
    const copied = JSON.parse(await stdout("copy", app("multi"), `oci:${at("layout")}:multi`, "--json"));
    expect(copied).toMatchObject({ digest: multi.digest, mediaType: OCI_INDEX, blobs: 2, transferredBlobs: 2 });
    await stdout("copy", `oci:${at("layout")}:multi`, `oci-archive:${at("a.tar")}:multi`);
    await stdout("copy", `oci-archive:${at("a.tar")}:multi`, `${registry.address}/two/app:copied`);
    expect(skopeoDigest(`oci:${at("layout")}:multi`)).toBe(multi.digest);
    expect(skopeoDigest(`oci-archive:${at("a.tar")}:multi`)).toBe(multi.digest);
    expect(skopeoDigest(`docker://${registry.address}/two/app:copied`)).toBe(multi.digest);
  });

  it("copy borrows blobs within one registry", async () => {
    const copied = JSON.parse(await stdout("copy", app("v1"), `${registry.address}/three/app:v1`, "--json"));
    expect(copied).toMatchObject({ digest: image.digest, blobs: 2, transferredBlobs: 0, transferredBytes: 0 });
  });

  it("copy narrows to one platform only when told, and says when there is none", async () => {
    await stdout("copy", app("multi"), `oci:${at("narrow")}:x`, "--platform", "linux/amd64");
    expect(await stdout("digest", `oci:${at("narrow")}:x`)).toBe(`${image.digest}\n`);
    const run = await lamella(["copy", app("multi"), `oci:${at("narrow")}:y`, "--platform", "linux/s390x"]);
    expect(run.status).toBe(3);
    expect(run.stderr).toMatch(/the source failed: cannot find platform linux\/s390x .* it has linux\/amd64/);
  });

  it("copy writes a docker-archive that skopeo reads, and reads skopeo's", async () => {
    await stdout("copy", app("v1"), `docker-archive:${at("ours.tar")}:app:v1`);
    skopeo("copy", `docker-archive:${at("ours.tar")}:docker.io/library/app:v1`, `oci:${at("from-ours")}:v1`);
    const config = await stdout("config", app("v1"));
    // skopeo writes the config anew, with its fields in another order.
    expect(JSON.parse(await stdout("config", `oci:${at("from-ours")}:v1`))).toEqual(JSON.parse(config));
    expect(await stdout("digest", `docker-archive:${at("ours.tar")}:app:v1`)).toBe(`${image.digest}\n`);
    skopeo("copy", "--src-tls-verify=false", `docker://${app("v1")}`, `docker-archive:${at("theirs.tar")}:app:v1`);
    const theirs = await stdout("config", `docker-archive:${at("theirs.tar")}:app:v1`);
    expect(JSON.parse(theirs)).toEqual(JSON.parse(config));
    await stdout("copy", `docker-archive:${at("theirs.tar")}:app:v1`, `${registry.address}/four/app:theirs`);
    skopeo("copy", "--src-tls-verify=false", `docker://${registry.address}/four/app:theirs`, `oci:${at("again")}:v1`);
  });

  it("copy reads skopeo's oci-archive", async () => {
    skopeo("copy", "--src-tls-verify=false", `docker://${app("v1")}`, `oci-archive:${at("theirs-oci.tar")}:v1`);
    const copied = JSON.parse(
      await stdout("copy", `oci-archive:${at("theirs-oci.tar")}:v1`, `oci:${at("layout")}:theirs`, "--json"),
    );
    expect(copied.digest).toBe(image.digest);
  });

  it("copy that fails leaves no archive behind", async () => {
    const run = await lamella(["copy", app("none"), `oci-archive:${at("none.tar")}`]);
    expect(run).toMatchObject({ status: 3, stdout: "" });
    expect(run.stderr).toMatch(/^lamella: cannot copy, the source failed: cannot resolve none/);
    expect(readdirSync(work).filter((name) => name.startsWith("none.tar"))).toEqual([]);
    expect(existsSync(at("none.tar"))).toBe(false);
  });

  it("push sends what was pulled, in pieces or whole", async () => {
    await stdout("pull", app("v1"));
    const pushed = JSON.parse(await stdout("push", app("v1"), `${registry.address}/pushed/app:v1`, "--json"));
    expect(pushed.digest).toBe(image.digest);
    expect(skopeoDigest(`docker://${registry.address}/pushed/app:v1`)).toBe(image.digest);
    await stdout("copy", `oci:${at("layout")}:multi`, `${registry.address}/pieces/app:v1`, "--chunk-size", "512K");
    expect(skopeoDigest(`docker://${registry.address}/pieces/app:v1`)).toBe(multi.digest);
  });

  it("tags, digest, manifest and inspect say what the registry has", async () => {
    expect(JSON.parse(await stdout("tags", app("v1"), "--json"))).toEqual(expect.arrayContaining(["multi", "v1"]));
    expect(await stdout("digest", app("multi"))).toBe(`${multi.digest}\n`);
    expect(await stdout("digest", app("multi"), "--platform", "linux/amd64")).toBe(`${image.digest}\n`);
    expect(digestOf(Buffer.from(await stdout("manifest", app("v1"))))).toBe(image.digest);
    const seen = JSON.parse(await stdout("inspect", app("multi"), "--platform", "linux/amd64", "--json"));
    expect(seen).toMatchObject({
      digest: multi.digest,
      manifest: image.digest,
      layers: [{ digest: expect.any(String) }],
    });
    expect(await stdout("inspect", app("v1"))).toContain(image.digest);
  });

  it("referrers lists what refers to an image, by the tag where the registry has no API", async () => {
    const client = createRegistryClient();
    const repository = client.repository(parseReference(app("v1")));
    const { config } = JSON.parse(await stdout("manifest", app("v1")));
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType: "a/b",
        config,
        layers: [],
        subject: image,
      }),
    );
    const artifact = await repository.pushManifest(digestOf(bytes), { bytes, mediaType: OCI_MANIFEST });
    await client.close();
    const listed = JSON.parse(await stdout("referrers", app("v1"), "--json"));
    expect(listed).toEqual({ subject: image.digest, referrers: [{ ...artifact, artifactType: "a/b" }] });
    expect(await stdout("referrers", app("v1"), "--artifact-type", "c/d")).toBe("");
  });

  it("an archive is the same for the same image", async () => {
    await stdout("copy", app("v1"), `oci-archive:${at("same-1.tar")}:x`, "--parallel", "1");
    await stdout("copy", app("v1"), `oci-archive:${at("same-2.tar")}:x`, "--parallel", "1");
    expect(readFileSync(at("same-1.tar")).equals(readFileSync(at("same-2.tar")))).toBe(true);
  });
});
