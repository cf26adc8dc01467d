import { createHash } from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sh } from "./sample-tree.js";

/** Two layers as shell scripts that fill an empty directory: the second whites out, replaces and adds. */
export const lower = `
mkdir -p etc/opaque etc/keep; echo one > etc/removed; echo two > etc/opaque/hidden; echo three > etc/keep/file; echo four > etc/changed
ln etc/changed etc/linked; ln -s keep etc/link; mknod null c 1 3; mkfifo fifo
chown 12:34 etc/keep/file; chmod 4755 etc/keep/file; setfattr -n user.text -v value etc/keep/file; setfattr -n user.empty etc/changed
find . -depth -exec touch -h -d @1500000000.25 {} +; touch -d @-5.5 etc/keep/file`;

export const upper = `
mkdir -p etc/opaque; : > etc/.wh.removed; : > etc/opaque/.wh..wh..opq; echo new > etc/opaque/new
find . -depth -exec touch -h -d @1600000000 {} +`;

/** Makes an OCI layout at `layout` with an image `latest` of layers that shell scripts fill. Needs root. */
export async function makeLayout(layout: string, scripts: readonly string[]): Promise<void> {
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  const diffIds: string[] = [];
  const layers = [];
  for (const [index, script] of scripts.entries()) {
    const directory = `layer-${index}`;
    await mkdir(join(layout, directory));
    await sh(join(layout, directory), script);
    // named one by one: the root has no entry of its own, as in the layers that others make
    await sh(
      join(layout, directory),
      "ls -A | tar --format=pax --xattrs --xattrs-include='*' --sort=name -cf ../layer.tar --files-from=-",
    );
    const tar = await readFile(join(layout, "layer.tar"));
    diffIds.push(digestOf(tar));
    layers.push(await putBlob(layout, "application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar)));
    await sh(layout, `rm -r ${directory} layer.tar`);
  }
  const config = {
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds },
  };
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: await putBlob(layout, "application/vnd.oci.image.config.v1+json", JSON.stringify(config)),
    layers,
  };
  const named = {
    ...(await putBlob(layout, manifestType, JSON.stringify(manifest))),
    annotations: { "org.opencontainers.image.ref.name": "latest" },
  };
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

async function putBlob(
  layout: string,
  mediaType: string,
  content: string | Buffer,
): Promise<{ mediaType: string; digest: string; size: number }> {
  const digest = digestOf(content);
  const path = join(layout, "blobs", digest.replace(":", "/"));
  await writeFile(path, content);
  return { mediaType, digest, size: (await stat(path)).size };
}

function digestOf(content: string | Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
