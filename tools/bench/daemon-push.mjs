/** Small images, and clients that push them. */
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import tar from "tar-stream";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";
const LAYER_BYTES = 256 << 10;

/** Each of the clients pushes an image that nobody has, again and again, one every `pauseMs`. @returns the names that were pushed, and what went wrong */
export async function pushAll({ host, clients, seconds, pauseMs }) {
  const total = { names: [], errors: [] };
  const until = performance.now() + seconds * 1000;
  const push = async (_, client) => {
    await sleep(Math.random() * pauseMs);
    for (let number = 0; performance.now() < until; number++) {
      const due = performance.now() + pauseMs;
      const name = `pushed-${client}:v${number}`;
      try {
        await pushSmallImage(host, name);
        total.names.push(name);
      } catch (error) {
        total.errors.push(error.message);
      }
      await sleep(Math.max(0, Math.min(due, until) - performance.now()));
    }
  };
  await Promise.all(Array.from({ length: clients }, push));
  return total;
}

/** One layer, with a file that no other image has. */
export async function pushSmallImage(host, name) {
  const layer = blob(LAYER, await tarOf(name));
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const rootfs = { type: "layers", diff_ids: [layer.descriptor.digest] };
  const config = blob(CONFIG, Buffer.from(JSON.stringify({ os: "linux", architecture, config: {}, rootfs })));
  const document = { schemaVersion: 2, mediaType: MANIFEST, config: config.descriptor, layers: [layer.descriptor] };
  await pushImage(host, name, { blobs: [layer, config], manifest: Buffer.from(JSON.stringify(document)) });
}

/** Blobs first, then an OCI manifest of them. */
export async function pushImage(host, name, { blobs, manifest }) {
  const [repository, tag] = name.split(":");
  for (const { descriptor, bytes } of blobs) {
    const begun = await expectStatus(202, `http://${host}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    const location = new URL(begun.headers.get("location"), `http://${host}`);
    location.searchParams.set("digest", descriptor.digest);
    const headers = { "Content-Type": "application/octet-stream" };
    await expectStatus(201, location, { method: "PUT", headers, body: bytes });
  }
  const url = `http://${host}/v2/${repository}/manifests/${tag}`;
  await expectStatus(201, url, { method: "PUT", headers: { "Content-Type": MANIFEST }, body: manifest });
}

async function expectStatus(status, url, init) {
  const response = await fetch(url, init);
  const text = await response.text();
  if (response.status !== status) throw new Error(`${init.method} ${url}: ${response.status} ${text.slice(0, 500)}`);
  return response;
}

async function tarOf(name) {
  const pack = tar.pack();
  pack.entry({ name: "etc/name" }, name);
  pack.entry({ name: "etc/noise" }, randomBytes(LAYER_BYTES));
  pack.finalize();
  const chunks = [];
  for await (const chunk of pack) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function blob(mediaType, bytes) {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
}
