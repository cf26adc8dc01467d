import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Descriptor, digestHex, digestOf, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openOciLayout } from "../src/index.js";
import { bytesOf, failure, pseudoRandom, readAll } from "./registry-server.js";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "layout-"));
  await mkdir(join(directory, "blobs", "sha256"), { recursive: true });
  await writeFile(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await writeIndex([]);
});

afterEach(() => rm(directory, { recursive: true }));

async function writeIndex(manifests: readonly Descriptor[]): Promise<void> {
  await writeFile(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

function blobPath(digest: Descriptor["digest"]): string {
  return join(directory, "blobs", "sha256", digestHex(digest));
}

async function addBlob(bytes: Uint8Array, mediaType: string, name?: string): Promise<Descriptor> {
  const digest = digestOf(bytes);
  await writeFile(blobPath(digest), bytes);
  const annotations = { "org.opencontainers.image.ref.name": name ?? "" };
  return { mediaType, digest, size: bytes.length, ...(name !== undefined && { annotations }) };
}

describe("openOciLayout()", () => {
  it("resolves by name and by digest, and streams what it resolved", async () => {
    const [one, two] = [await addBlob(bytesOf("{}"), OCI_MANIFEST, "1"), await addBlob(bytesOf("{ }"), OCI_INDEX, "2")];
    await writeIndex([one, two]);
    const layout = await openOciLayout(directory);
    expect(await layout.names()).toEqual(["1", "2"]);
    expect(await layout.resolve("2")).toEqual(two);
    expect(await layout.resolve(one.digest)).toEqual(one);
    expect(await readAll(layout.fetch(await layout.resolve("1")))).toEqual(bytesOf("{}"));
    const layer = await addBlob(pseudoRandom(700_000), OCI_LAYER_GZIP);
    expect(digestOf(await readAll(layout.fetch(layer)))).toBe(layer.digest);
  });

  it("takes the sole manifest when no name is given, and refuses to choose among several", async () => {
    const one = await addBlob(bytesOf("{}"), OCI_MANIFEST);
    await writeIndex([one]);
    const layout = await openOciLayout(directory);
    expect(await layout.resolve("")).toEqual(one);
    await expect(layout.resolve("latest")).rejects.toThrow(failure("not_found", '"latest"'));
    await writeIndex([one, await addBlob(bytesOf("{ }"), OCI_MANIFEST)]);
    await expect(layout.resolve("")).rejects.toThrow(failure("name_ambiguous", "it holds 2"));
    await writeIndex([]);
    await expect(layout.resolve("")).rejects.toThrow(failure("not_found"));
  });

  it("refuses one name for two manifests, not for one manifest listed twice", async () => {
    const [one, two] = [
      await addBlob(bytesOf("{}"), OCI_MANIFEST, "1"),
      await addBlob(bytesOf("{ }"), OCI_MANIFEST, "1"),
    ];
    const layout = await openOciLayout(directory);
    await writeIndex([one, one]);
    expect(await layout.resolve("1")).toEqual(one);
    await writeIndex([one, two]);
    await expect(layout.resolve("1")).rejects.toThrow(failure("name_ambiguous"));
  });

  it("finds a manifest by digest that only a nested index names", async () => {
    const child = await addBlob(bytesOf('{"layers":[]}'), OCI_MANIFEST);
    const layout = await openOciLayout(directory);
    expect(await layout.resolve(child.digest)).toEqual(child);
    await writeFile(blobPath(child.digest), '{"layers":[1]}');
    await expect(layout.resolve(child.digest)).rejects.toThrow(failure("digest_mismatch"));
  });

  it("refuses a changed, cut or missing blob", async () => {
    const blob = await addBlob(bytesOf("content"), OCI_LAYER_GZIP);
    const layout = await openOciLayout(directory);
    await writeFile(blobPath(blob.digest), "CONTENT");
    await expect(readAll(layout.fetch(blob))).rejects.toThrow(failure("digest_mismatch"));
    await writeFile(blobPath(blob.digest), "conten");
    await expect(readAll(layout.fetch(blob))).rejects.toThrow(failure("size_mismatch"));
    await rm(blobPath(blob.digest));
    await expect(readAll(layout.fetch(blob))).rejects.toThrow(failure("not_found"));
  });

  it("refuses a blob or an index that is a symbolic link, a FIFO or a directory, at once", async () => {
    const bytes = bytesOf("content");
    const blob = await addBlob(bytes, OCI_LAYER_GZIP);
    const layout = await openOciLayout(directory);
    await writeFile(join(directory, "outside"), bytes);
    for (const [path, read] of [
      [blobPath(blob.digest), () => readAll(layout.fetch(blob))],
      [join(directory, "index.json"), () => layout.names()],
    ] as const) {
      await rm(path);
      await symlink(join(directory, "outside"), path);
      await expect(read()).rejects.toThrow(failure("layout_invalid", "symbolic link"));
      await rm(path);
      execFileSync("/usr/bin/env", ["mkfifo", path]);
      await expect(read()).rejects.toThrow(failure("layout_invalid", "not a regular file"));
      await rm(path);
      await mkdir(path);
      await expect(read()).rejects.toThrow(failure("layout_invalid", "not a regular file"));
    }
  });

  it("refuses what is no layout, another version, and an index over 4 MiB", async () => {
    await writeFile(join(directory, "index.json"), " ".repeat(4 * 1024 * 1024 + 1));
    await expect(openOciLayout(directory)).rejects.toThrow(failure("too_large"));
    for (const content of ['{"imageLayoutVersion":"2.0.0"}', "{", "null", "[]"]) {
      await writeFile(join(directory, "oci-layout"), content);
      await expect(openOciLayout(directory)).rejects.toThrow(failure("layout_invalid", "1.0.0"));
    }
    await rm(join(directory, "oci-layout"));
    await expect(openOciLayout(directory)).rejects.toThrow(failure("not_found"));
  });

  it("rejects with the reason of its signal", async () => {
    const reason = new Error("stop");
    const options = { signal: AbortSignal.abort(reason) };
    const layout = await openOciLayout(directory);
    const blob = await addBlob(bytesOf("x"), OCI_LAYER_GZIP);
    await expect(openOciLayout(directory, options)).rejects.toBe(reason);
    await expect(layout.resolve("", options)).rejects.toBe(reason);
    await expect(layout.names(options)).rejects.toBe(reason);
    await expect(readAll(layout.fetch(blob, options))).rejects.toBe(reason);
  });
});
