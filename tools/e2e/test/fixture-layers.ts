import { createReadStream, createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { fixtures, type ImageName } from "@lamella/fixtures";
import { readTar, type TarReading } from "@lamella/fuzz";
import { decompress } from "@lamella/layer-format/node";

interface Descriptor {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const IMAGES: readonly (readonly [ImageName, readonly string[]])[] = [
  ["debian-slim", ["latest"]],
  ["node-app", ["latest", "zstd", "estargz"]],
  ["big", ["latest"]],
];
const CHUNK_BYTES = 1 << 20;

/** Reads every layer of the fixtures once, whose tar is at `path` until the next one is asked for. */
export async function* fixtureLayers(path: string): AsyncGenerator<TarReading> {
  const images = await fixtures();
  const seen = new Set<string>();
  for (const [image, tags] of IMAGES) {
    const layout = images.layout(image);
    for (const digest of await layerDigests(layout, tags)) {
      if (seen.has(digest)) continue;
      seen.add(digest);
      const blob = createReadStream(blobPath(layout, digest), { highWaterMark: CHUNK_BYTES });
      await pipeline(Readable.from(decompress(blob)), createWriteStream(path));
      yield readTar([await readFile(path)]);
    }
  }
}

/** Unpacks the layers of a layout's image `latest` into a directory; the paths of their tars, base first. */
export async function layerTars(layout: string, directory: string): Promise<string[]> {
  const digests = await layerDigests(layout, ["latest"]);
  const tars = digests.map((_, at) => join(directory, `${at}.tar`));
  for (const [at, digest] of digests.entries()) {
    const blob = createReadStream(blobPath(layout, digest), { highWaterMark: CHUNK_BYTES });
    await pipeline(Readable.from(decompress(blob)), createWriteStream(tars[at]!));
  }
  return tars;
}

async function layerDigests(layout: string, tags: readonly string[]): Promise<string[]> {
  const { manifests } = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as { manifests: Descriptor[] };
  const named = manifests.filter(({ annotations }) =>
    tags.includes(annotations?.["org.opencontainers.image.ref.name"] ?? ""),
  );
  const documents = await Promise.all(named.map(({ digest }) => readFile(blobPath(layout, digest), "utf8")));
  return documents.flatMap((text) => (JSON.parse(text) as { layers: Descriptor[] }).layers.map(({ digest }) => digest));
}

function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}
