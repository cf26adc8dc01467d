import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { copyImage, createRegistryClient, openOciLayout } from "@lamella/oci-client";
import { parseReference } from "@lamella/refs";
import { createRegistry } from "@lamella/registry";
import { memoryStorage } from "@lamella/registry/testing";

import { samplePaths } from "./sample-images.js";
import type { SampleName } from "./sample-images.js";

/** A registry that has one image, and counts what is fetched. */
export interface CountedRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT/sample:latest` */
  readonly reference: string;
  /** How often each blob was fetched, by digest. */
  readonly fetched: ReadonlyMap<string, number>;
}

/** How many of a kind must have come before any is served, so that they are under way at once. */
export interface CountedRegistryOptions {
  readonly image: SampleName;
  readonly together: number;
}

/** Serves an image of the layout. Blobs over a document's size wait until so many clients have asked for a manifest. */
export async function startCountedRegistry(
  images: string,
  { image, together }: CountedRegistryOptions,
): Promise<CountedRegistry> {
  const answer = createRegistry({ storage: memoryStorage() });
  const fetched = new Map<string, number>();
  let isFilled = false;
  let asked = 0;
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => (open = resolve));

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = incoming;
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = method === "GET" || method === "HEAD" ? null : Buffer.concat(chunks);
    const headers = Object.entries(incoming.headers).map(([name, value]): [string, string] => [name, String(value)]);
    const response = await answer(new Request(`http://registry${url}`, { method, headers, body }));
    if (isFilled && method === "GET") {
      if (url.includes("/manifests/") && ++asked === together) open();
      const digest = /\/blobs\/(sha256:[0-9a-f]+)$/.exec(url)?.[1];
      if (digest !== undefined) fetched.set(digest, (fetched.get(digest) ?? 0) + 1);
      if (Number(response.headers.get("content-length")) > LAYER_BYTES) await gate;
    }
    outgoing.writeHead(response.status, [...response.headers].flat());
    if (response.body === null) outgoing.end();
    else await pipeline(Readable.from(response.body), outgoing);
  }

  const server = createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const reference = `127.0.0.1:${(server.address() as AddressInfo).port}/sample:latest`;
  const client = createRegistryClient();
  try {
    const layout = await openOciLayout(samplePaths(images).layout);
    const repository = client.repository(parseReference(reference));
    await copyImage({ images: layout, name: image }, { images: repository, name: "latest" });
  } finally {
    await client.close();
  }
  isFilled = true;
  return {
    reference,
    fetched,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Documents are smaller, layers larger. */
const LAYER_BYTES = 10_000;
