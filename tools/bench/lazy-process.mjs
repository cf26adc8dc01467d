/**
 * A process that mounts images lazily, started by `lazy.mjs`. A message with a reference and directories to work in is answered when the image is mounted, the next
 * message when nothing of it is left. Each mount has a cache and a registry client of its own, so that it finds nothing of the one before.
 */
import { join } from "node:path";

import { mountTree } from "@lamella/fuse";
import { openNamedRepository } from "@lamella/image-store";
import { createLayerResolver, openBlobCache, openLazyImage, openPlainIndexStore } from "@lamella/lazy-layer";
import { createRegistryClient } from "@lamella/oci-client";

const platform = { os: "linux", architecture: "amd64" };

let unmount;
process.once("disconnect", () => unmount?.());
process.on("message", async (job) => {
  if (unmount === undefined) {
    unmount = await mountImage(job);
    process.send("mounted");
  } else {
    await unmount();
    unmount = undefined;
    process.send("unmounted");
  }
});

/** Gives what undoes all of it. */
async function mountImage({ reference, work, directory }) {
  const client = createRegistryClient({ plainHttp: () => true });
  const { repository, name } = openNamedRepository(reference, client);
  const cache = await openBlobCache(join(work, "blobs"));
  const indexes = await openPlainIndexStore(join(work, "indexes"));
  const resolver = createLayerResolver({ cache });
  const image = await openLazyImage(repository, name, { resolver, indexes, platform });
  const mount = await mountTree(image.tree, directory);
  return async () => {
    await mount.unmount();
    await image[Symbol.asyncDispose]();
    await resolver.close();
    await client.close();
  };
}
