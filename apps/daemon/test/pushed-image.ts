import { randomBytes } from "node:crypto";

import { digestOf, hostPlatform, OCI_CONFIG, OCI_MANIFEST } from "@lamella/refs";

/** The end of an archive without anything in it. */
const EMPTY_TAR = new Uint8Array(1024);

export interface PushOptions {
  readonly headers?: Record<string, string>;
  /** Instead of none: of a layer that is no archive the build fails. */
  readonly layer?: Uint8Array;
}

/** Pushes an image that nobody has pushed before, and gives its digest. */
export async function pushImage(
  url: string,
  name: string,
  { headers = {}, layer = EMPTY_TAR }: PushOptions = {},
): Promise<string> {
  const [repository = "", tag = ""] = name.split(":");
  const { os, architecture } = hostPlatform();
  const labels = { unique: randomBytes(8).toString("hex") };
  const rootfs = { type: "layers", diff_ids: [digestOf(layer)] };
  const config = Buffer.from(JSON.stringify({ os, architecture, config: { Labels: labels }, rootfs }));
  for (const blob of [layer, config]) {
    const place = `${url}/v2/${repository}/blobs/uploads/?digest=${digestOf(blob)}`;
    await sent(place, { method: "POST", body: new Uint8Array(blob), headers });
  }
  const describe = (mediaType: string, bytes: Uint8Array): object => {
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const layers = [describe("application/vnd.oci.image.layer.v1.tar", layer)];
  const document = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: describe(OCI_CONFIG, config), layers };
  const manifest = Buffer.from(JSON.stringify(document));
  const put = { method: "PUT", body: manifest, headers: { ...headers, "Content-Type": OCI_MANIFEST } };
  await sent(`${url}/v2/${repository}/manifests/${tag}`, put);
  return digestOf(manifest);
}

async function sent(url: string, init: RequestInit): Promise<void> {
  const response = await fetch(url, init);
  if (response.status !== 201) throw new Error(`cannot push to ${url}: ${response.status} ${await response.text()}`);
}
