import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openImageStore, openImageTree, pullImage } from "@lamella/image-store";
import { writeTar } from "@lamella/layer-format";
import { digestOf, OCI_CONFIG, OCI_LAYER_TAR, OCI_MANIFEST } from "@lamella/refs";

const directory = await mkdtemp(join(tmpdir(), "image-store-"));
try {
  // any source of images will do: here a store that we fill, elsewhere a repository of @lamella/oci-client
  const source = await openImageStore(join(directory, "source"));
  await source.tag("hello:latest", await pushHello(source.content));

  const store = await openImageStore(join(directory, "store"));
  const platform = { os: "linux", architecture: "amd64" };
  const image = await pullImage(store, source, "hello:latest", { platform, name: "docker.io/library/hello:latest" });

  const tree = await openImageTree(store.content, image);
  for await (const entry of tree.entries()) console.log(entry.kind, `/${entry.path}`);
  await tree[Symbol.asyncDispose]();

  await store.tag("mine", "hello");
  for await (const { names, sizeBytes } of store.list()) console.log(names.join(" "), sizeBytes > 0);
  for (const each of [source, store]) await each[Symbol.asyncDispose]();
} finally {
  await rm(directory, { recursive: true });
}

/** An image of one layer that holds one file. */
async function pushHello(target) {
  const text = Buffer.from("hello\n");
  async function* entries() {
    const plain = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0, xattrs: new Map() };
    const node = { ...plain, linkTarget: "", deviceMajor: 0, deviceMinor: 0 };
    yield { ...node, path: "etc/hello", kind: "file", size: text.length, contents: () => chunks(text) };
  }
  const tar = Buffer.concat(await collect(writeTar(entries())));
  const layer = await push(OCI_LAYER_TAR, tar);
  const rootfs = { type: "layers", diff_ids: [layer.digest] };
  const config = await push(OCI_CONFIG, json({ os: "linux", architecture: "amd64", rootfs }));
  return push(OCI_MANIFEST, json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] }));

  async function push(mediaType, bytes) {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    await target.push(descriptor, chunks(bytes));
    return descriptor;
  }
}

function json(document) {
  return Buffer.from(JSON.stringify(document));
}

async function* chunks(bytes) {
  yield bytes;
}

async function collect(source) {
  const chunks = [];
  for await (const chunk of source) chunks.push(chunk);
  return chunks;
}
