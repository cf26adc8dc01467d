import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createImageManager, openImageStore } from "@lamella/image-store";
import { digestOf, OCI_CONFIG, OCI_LAYER_TAR, OCI_MANIFEST } from "@lamella/refs";

const directory = await mkdtemp(join(tmpdir(), "image-store-"));
const registry = await openImageStore(join(directory, "registry"));
const store = await openImageStore(join(directory, "store"));
// elsewhere: sources: (name, call) => openSource(name, createRegistryClient(), call)
const manager = await createImageManager(store, {
  sources: async (name) => ({ images: registry, name, close: async () => {} }),
  quotas: { minFreeBytes: 1 << 20 },
});
try {
  await registry.tag("docker.io/library/empty:latest", await pushEmptyImage(registry.content));

  const { status } = await manager.createImage("empty", { disk: { format: "erofs", label: "root" } });
  console.log(status); // pending, or pulling already
  const { built } = await manager.waitForReady("empty");
  console.log(built.config.cmd, built.isSystemdImage, built.disks.length); // [ '/sbin/init' ] true 1
} finally {
  for (const each of [manager, store, registry]) await each[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
}

/** An image for this machine's processor, whose one layer is empty. */
async function pushEmptyImage(target) {
  const layer = await push(OCI_LAYER_TAR, Buffer.alloc(1024));
  const rootfs = { type: "layers", diff_ids: [layer.digest] };
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const config = await push(OCI_CONFIG, json({ os: "linux", architecture, rootfs, config: { Cmd: ["/sbin/init"] } }));
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
