import { createServer } from "node:http";

import { createRegistryClient } from "@lamella/oci-client";
import { digestOf, parseManifest, parseReference } from "@lamella/refs";

// A registry with one image, so that the example needs no network.
const layer = new TextEncoder().encode("a layer's bytes");
const config = new TextEncoder().encode("{}");
const describe = (mediaType, bytes) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: describe("application/vnd.oci.image.config.v1+json", config),
  layers: [describe("application/vnd.oci.image.layer.v1.tar", layer)],
});
const server = createServer(({ url }, response) => {
  if (url === "/v2/demo/manifests/1.0" || url.endsWith(digestOf(new TextEncoder().encode(manifest)))) {
    response.setHeader("content-type", "application/vnd.oci.image.manifest.v1+json").end(manifest);
  } else {
    response.end(url.endsWith(digestOf(layer)) ? layer : config);
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const client = createRegistryClient();
try {
  const reference = parseReference(`127.0.0.1:${server.address().port}/demo:1.0`);
  const repository = client.repository(reference);
  const { descriptor, bytes } = await repository.fetchManifest(reference.tag);
  for (const layer of parseManifest(bytes, descriptor.mediaType).layers) {
    let size = 0;
    for await (const chunk of repository.fetch(layer)) size += chunk.length;
    console.log(`${layer.digest}: ${size} bytes, verified`);
  }
} finally {
  await client.close();
  server.close();
}
