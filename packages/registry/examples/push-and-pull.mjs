import { digestOf } from "@lamella/refs";
import { createRegistry } from "@lamella/registry";
import { memoryStorage } from "@lamella/registry/testing";

const registry = createRegistry({ storage: memoryStorage() });
const send = (method, path, body, type = "application/octet-stream") =>
  registry(new Request(`http://registry${path}`, { method, body, headers: { "Content-Type": type } }));

const mediaType = "application/vnd.oci.image.manifest.v1+json";
const config = new TextEncoder().encode("{}");
const digest = digestOf(config);
await send("POST", `/v2/hello/blobs/uploads/?digest=${digest}`, config);

const descriptor = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: config.length };
const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] });
const pushed = await send("PUT", "/v2/hello/manifests/v1", manifest, mediaType);
console.log(pushed.status, pushed.headers.get("Location"));

const tags = await send("GET", "/v2/hello/tags/list");
console.log(await tags.json()); // { name: 'hello', tags: [ 'v1' ] }

const pulled = await send("GET", "/v2/hello/manifests/v1");
console.log((await pulled.text()) === manifest); // true
