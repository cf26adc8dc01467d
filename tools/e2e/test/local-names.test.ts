import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers, startRegistry } from "@lamella/demo/sample";
import type { LocalRegistry } from "@lamella/demo/sample";
import { createRegistryClient } from "@lamella/oci-client";
import { parseReference } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

describe("a name that the user gave to an image of the store", () => {
  const work = mkdtempSync(join(tmpdir(), "lamella-local-names-"));
  const at = (name: string): string => join(work, name);
  let registry: LocalRegistry;
  let app = "";
  /** What the user's name stands for, and what the registry has under it by now. */
  let mine = "";
  let theirs = "";

  beforeAll(async () => {
    registry = await startRegistry(at("registry"));
    app = `${registry.address}/app:v1`;
    mine = await push(0);
    await output("pull", app, "--name", app);
    theirs = await push(1);
    expect(theirs).not.toBe(mine);
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });

  async function push(layer: number): Promise<string> {
    await using client = createRegistryClient();
    const [trimming, ...others] = sampleLayers().toReversed();
    const layers = layer === 0 ? [trimming!] : [trimming!, others[layer]!.slice(0, 1)];
    return (await pushImage(client.repository(parseReference(app)), "v1", layers)).digest;
  }

  async function outputAt(root: string, ...args: string[]): Promise<string> {
    const run = await lamella([...args, "--root", at(root), "--no-progress"], { env: { SOURCE_DATE_EPOCH: "0" } });
    expect(run.status, run.stderr).toBe(0);
    return run.stdout;
  }

  const output = (...args: string[]): Promise<string> => outputAt("store", ...args);

  it("means that image to digest, manifest, config and inspect; where the store has no such name, the registry's", async () => {
    expect(await output("digest", app)).toBe(`${mine}\n`);
    expect(await outputAt("other", "digest", app)).toBe(`${theirs}\n`);
    const { layers, config } = JSON.parse(await output("manifest", app)) as { layers: object[]; config: object };
    expect(layers).toHaveLength(1);
    expect(config).toMatchObject({ size: (await output("config", app)).length });
    expect(JSON.parse(await output("inspect", app, "--json"))).toMatchObject({ digest: mine });
  });

  it("is no reason to make a store that is not there", async () => {
    await outputAt("unmade", "digest", app);
    expect(existsSync(at("unmade"))).toBe(false);
  });

  it("means that image to copy", async () => {
    await output("copy", app, `oci:${at("copied")}:x`);
    expect(await output("digest", `oci:${at("copied")}:x`)).toBe(`${mine}\n`);
  });

  it("means that image to snapshot, also when an image is made of what was prepared on it", async () => {
    await output("snapshot", "prepare", "work", "--image", app);
    await output("snapshot", "image", "work", `oci:${at("made")}:x`);
    expect(await output("diff", app, `oci:${at("made")}:x`)).toBe("");
    await output("snapshot", "image", "work", `oci:${at("based")}:x`, "--base", app);
    expect(await output("digest", `oci:${at("based")}:x`)).toBe(await output("digest", `oci:${at("made")}:x`));
  });
});
