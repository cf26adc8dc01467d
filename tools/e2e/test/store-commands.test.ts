import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers } from "@lamella/demo/sample";
import { startRegistry } from "@lamella/fixtures";
import type { RunningRegistry } from "@lamella/fixtures";
import { createRegistryClient } from "@lamella/oci-client";
import { missing, requireTool } from "@lamella/oracles";
import { parseReference } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const reason = missing(["docker-registry", "skopeo"]);
const title = reason === undefined ? "commands on the store" : `commands on the store: ${reason}`;

describe.skipIf(reason !== undefined)(title, () => {
  let registry: RunningRegistry;
  let work = "";
  let image: Descriptor;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-store-commands-"));
    const data = join(work, "registry");
    mkdirSync(data);
    registry = await startRegistry({ data, readOnly: false });
    const client = createRegistryClient();
    try {
      const repository = client.repository(parseReference(`${registry.address}/one/app`));
      await pushImage(repository, "v1", sampleLayers().slice(0, 1));
      image = await repository.resolve("v1");
    } finally {
      await client.close();
    }
  }, 60_000);
  afterAll(async () => {
    await registry?.close();
    rmSync(work, { recursive: true, force: true });
  });

  const app = (): string => `${registry.address}/one/app:v1`;
  const at = (name: string): string => join(work, name);
  const short = (): string => image.digest.slice(7, 19);

  async function stdout(args: readonly string[], root: string, stdin?: Uint8Array): Promise<string> {
    const run = await lamella([...args, "--root", at(root)], { stdin });
    expect(run.status, run.stderr).toBe(0);
    return run.stdout;
  }

  function skopeo(...args: string[]): string {
    return execFileSync(requireTool("skopeo"), args, { encoding: "utf8", env: { ...process.env, TMPDIR: work } });
  }

  async function names(root: string): Promise<string[]> {
    const images = JSON.parse(await stdout(["images", "--json"], root)) as { names: string[] }[];
    return images.flatMap((each) => each.names);
  }

  it("tag, images and rm keep names apart", async () => {
    await stdout(["pull", app()], "a");
    expect(await stdout(["tag", app(), "mine"], "a")).toBe(`docker.io/library/mine:latest@${image.digest}\n`);
    expect(await stdout(["images"], "a")).toMatch(new RegExp(`mine:latest +${short()} +linux/amd64`));
    expect(await stdout(["ls", "mine", "/"], "a")).toBe(await stdout(["ls", app(), "/"], "a"));
    expect(await stdout(["rm", "mine"], "a")).toBe("removed name docker.io/library/mine:latest\n");
    expect(await names("a")).toEqual([app()]);
    expect(await stdout(["rm", short()], "a")).toBe(`removed name ${app()}\nremoved image ${image.digest}\n`);
    expect(await names("a")).toEqual([]);
    expect(await lamella(["rm", short(), "--root", at("a")])).toMatchObject({ status: 3, stdout: "" });
  });

  it("df tells what images share", async () => {
    await stdout(["pull", app()], "b");
    const { images, imageBytes } = JSON.parse(await stdout(["df", "--json"], "b"));
    expect(images).toMatchObject([{ names: [app()], sizeBytes: imageBytes, sharedBytes: 0, uniqueBytes: imageBytes }]);
  });

  it("gc frees the bytes of what was removed, as much as its dry run says, and nothing young", async () => {
    await stdout(["pull", app()], "g");
    await stdout(["tag", app(), "mine"], "g");
    await stdout(["rm", app()], "g");
    expect(await stdout(["gc", "--grace", "0"], "g")).toBe("freed 0 B\n");
    await stdout(["rm", "mine"], "g");
    expect(await stdout(["gc"], "g")).toMatch(/stay: younger than 1h\nfreed 0 B\n$/);
    const dry = JSON.parse(await stdout(["gc", "--grace", "0", "--dry-run", "--json"], "g"));
    expect(dry).toMatchObject({ dryRun: true, totals: { blob: { count: 3 }, layer: { count: 1 } } });
    const run = JSON.parse(await stdout(["gc", "--grace", "0", "--json"], "g"));
    expect(run).toEqual({ ...dry, dryRun: false });
    expect(readdirSync(join(at("g"), "blobs/sha256"))).toEqual([]);
    expect(await lamella(["gc", "--grace", "soon", "--root", at("g")])).toMatchObject({ status: 2, stdout: "" });
  });

  it("check finds a damaged layer, exits with 5, and repairs it for the next pull", async () => {
    await stdout(["pull", app()], "h");
    expect(await stdout(["check"], "h")).toBe("");
    const raw = skopeo("inspect", "--raw", "--tls-verify=false", `docker://${app()}`);
    const { digest } = JSON.parse(raw).layers[0] as Descriptor;
    writeFileSync(join(at("h"), "blobs/sha256", digest.slice(7)), "damaged");
    const found = await lamella(["check", "--json", "--root", at("h")]);
    const kinds = (text: string): string[] =>
      text
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { kind: string }).kind);
    expect([found.status, kinds(found.stdout)]).toEqual([5, ["blob_damaged", "image_incomplete"]]);
    expect(await stdout(["check", "--repair"], "h")).toMatch(
      new RegExp(`^blob ${digest}: its bytes have the digest sha256:\\w+; dropped; the next pull brings it\n$`),
    );
    expect(await stdout(["check"], "h")).toBe("");
    await stdout(["pull", app()], "h");
    expect(await names("h")).toEqual([app()]);
    expect(await stdout(["check"], "h")).toBe("");
  });

  it("archives of skopeo's are imported from a file and from stdin, equal by digest", async () => {
    skopeo("copy", "--src-tls-verify=false", `docker://${app()}`, `oci-archive:${at("oci.tar")}:v1`);
    skopeo("copy", "--src-tls-verify=false", `docker://${app()}`, `docker-archive:${at("docker.tar")}:in/archive:1`);
    await stdout(["pull", `oci-archive:${at("oci.tar")}`, "--name", "from-file"], "c");
    await stdout(["pull", "oci-archive:-", "--name", "from-stdin"], "c", readFileSync(at("oci.tar")));
    const found = JSON.parse(await stdout(["images", "--json"], "c"));
    expect(found).toMatchObject([{ digest: image.digest, names: { length: 2 } }]);
    await stdout(["pull", "docker-archive:-"], "c", readFileSync(at("docker.tar")));
    expect(await names("c")).toContain("docker.io/in/archive:1");
  });

  it("a name within an archive does not move the name of another image", async () => {
    skopeo("copy", "--src-tls-verify=false", `docker://${app()}`, `docker-archive:${at("again.tar")}:mine:latest`);
    await stdout(["pull", app(), "--name", "mine"], "d");
    const run = await lamella(["pull", `docker-archive:${at("again.tar")}`, "--root", at("d")]);
    expect(run).toMatchObject({ status: 1, stdout: "" });
    expect(run.stderr).toMatch(/cannot name sha256:\w+ "docker\.io\/library\/mine:latest": the name stands for/);
    expect(JSON.parse(await stdout(["images", "--json"], "d"))).toMatchObject([{ digest: image.digest }]);
    await stdout(["pull", `docker-archive:${at("again.tar")}`, "--name", "mine"], "d");
    expect(JSON.parse(await stdout(["images", "mine", "--json"], "d"))[0].digest).not.toBe(image.digest);
  });

  it("skopeo reads the store as it stands, and what it adds is found", async () => {
    await stdout(["pull", app()], "e");
    const raw = JSON.parse(skopeo("inspect", "--raw", `oci:${at("e")}:${app()}`));
    expect(raw.config.digest).toMatch(/^sha256:/);
    skopeo("copy", "--src-tls-verify=false", `docker://${app()}`, `oci:${at("e")}:theirs`);
    expect((await names("e")).sort()).toEqual([app(), "theirs"].sort());
  });

  it("push writes an archive of an image by its short digest", async () => {
    await stdout(["pull", app()], "f");
    const pushed = JSON.parse(await stdout(["push", short(), `oci-archive:${at("out.tar")}:v1`, "--json"], "f"));
    expect(pushed.digest).toBe(image.digest);
    expect(JSON.parse(skopeo("inspect", `oci-archive:${at("out.tar")}:v1`)).Digest).toBe(image.digest);
  });
});
