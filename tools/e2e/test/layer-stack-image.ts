import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { readTar } from "@lamella/fuzz";
import { type FileTree, type Layer, mergeLayers } from "@lamella/layer-format";
import type { TreeRecord } from "@lamella/oracles";
import { parseDigest } from "@lamella/refs";

/** Writes an OCI layout with an image `latest` of these layers, uncompressed. */
export async function writeLayout(layout: string, layers: readonly Uint8Array[]): Promise<void> {
  await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
  const put = async (mediaType: string, content: string | Uint8Array): Promise<object> => {
    const digest = digestOf(content);
    await writeFile(join(layout, "blobs", digest.replace(":", "/")), content);
    return { mediaType, digest, size: Buffer.byteLength(content) };
  };
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const config = {
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    config: {},
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: await put("application/vnd.oci.image.config.v1+json", JSON.stringify(config)),
    layers: await Promise.all(layers.map((layer) => put("application/vnd.oci.image.layer.v1.tar", layer))),
  };
  const named = {
    ...(await put(manifestType, JSON.stringify(manifest))),
    annotations: { "org.opencontainers.image.ref.name": "latest" },
  };
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

/** The tree that our merge makes of the layers. */
export function mergeTars(tars: readonly Uint8Array[]): Promise<FileTree> {
  return mergeLayers(tars.map(layerOf));
}

/** A layer whose tar is in memory. */
export function layerOf(tar: Uint8Array): Layer {
  const { entries, refusal } = readTar([tar], { keepContents: true });
  if (refusal !== undefined) throw new Error(refusal.message);
  const contents = Buffer.concat(entries.map((read) => read.contents));
  return {
    diffID: parseDigest(digestOf(tar)),
    entries: entries.map(({ entry }) => entry),
    async *readContents(offset, length) {
      yield contents.subarray(offset, offset + length);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A tree as a listing of the oracles, for `compareTrees`. */
export async function* treeRecords(tree: FileTree): AsyncGenerator<TreeRecord> {
  const firstNames = new Map<number, { path: string; sha256: string | null }>();
  const directories = new Map<string, number>();
  for await (const { path, kind } of tree.entries()) {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (kind === "directory" && path !== "") directories.set(parent, (directories.get(parent) ?? 0) + 1);
  }
  for await (const entry of tree.entries()) {
    const { path, kind } = entry;
    const isDevice = kind === "char" || kind === "block";
    const first = firstNames.get(entry.inode);
    let sha256 = first?.sha256 ?? null;
    if (kind === "file" && first === undefined) {
      const hash = createHash("sha256");
      for await (const chunk of tree.read(entry)) hash.update(chunk);
      sha256 = hash.digest("hex");
    }
    if (first === undefined && entry.links > 1) firstNames.set(entry.inode, { path, sha256 });
    yield {
      path,
      type: kind,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      size: kind === "directory" ? 0 : entry.size,
      mtime: String(BigInt(entry.mtimeSeconds) * 1_000_000_000n + BigInt(entry.mtimeNanoseconds)),
      rdev: isDevice ? `${entry.deviceMajor}:${entry.deviceMinor}` : null,
      target: kind === "symlink" ? entry.linkTarget : null,
      links: kind === "directory" ? 2 + (directories.get(path) ?? 0) : entry.links,
      linkOf: first?.path ?? null,
      xattrs: Object.fromEntries([...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString("hex")])),
      sha256,
    };
  }
}

function digestOf(content: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
