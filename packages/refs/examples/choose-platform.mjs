import { digestOf, formatReference, parseIndex, parsePlatform, parseReference, selectPlatform } from "@lamella/refs";

const reference = parseReference("alpine:3.20");
console.log(formatReference(reference)); // docker.io/library/alpine:3.20

const manifest = (architecture, variant) => ({
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: digestOf(new TextEncoder().encode(architecture + variant)),
  size: 1024,
  platform: { os: "linux", architecture, variant },
});
const document = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [manifest("amd64"), manifest("arm", "v6"), manifest("arm", "v5")],
});

const index = parseIndex(new TextEncoder().encode(document));
const chosen = selectPlatform(index.manifests, parsePlatform("linux/arm/v7"));
console.log(chosen?.platform); // { os: 'linux', architecture: 'arm', variant: 'v6' }
