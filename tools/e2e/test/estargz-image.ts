import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import {
  type FileTree,
  type Layer,
  type LayerToc,
  mergeLayers,
  verifyToc,
  type TocVerification,
} from "@lamella/layer-format";
import {
  decompress,
  openLayerFile,
  openTocLayer,
  readToc,
  writeEstargz,
  type WriteEstargzTarOptions,
  type WrittenEstargz,
} from "@lamella/layer-format/node";
import type { Difference } from "@lamella/oracles";
import { type Descriptor, digestOf, parseManifest } from "@lamella/refs";

/** A layer that was read in both ways: its tar against its table, and each chunk of its blob by range. */
export interface CheckedLayer {
  readonly toc: LayerToc;
  readonly verification: TocVerification;
  /** Bytes that the chunks gave. */
  readonly contentsBytes: number;
}

export function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

/** The layers of the image of this tag, with their annotations. */
export async function layersOf(layout: string, tag: string): Promise<readonly Descriptor[]> {
  const { manifests } = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as { manifests: Descriptor[] };
  const named = manifests.find(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === tag);
  if (named === undefined) throw new Error(`no image ${tag} in ${layout}`);
  return parseManifest(await readFile(blobPath(layout, named.digest)), named.mediaType).layers;
}

export async function checkLayer(path: string, descriptor: Descriptor): Promise<CheckedLayer> {
  await using file = await openLayerFile(path);
  const toc = await readToc(file, descriptor);
  if (toc === undefined) throw new Error(`no table of contents in ${path}`);
  const verification = await verifyToc(decompress(file.chunks()), toc);
  await using layer = openTocLayer(file, descriptor, toc, { diffID: descriptor.digest });
  let contentsBytes = 0;
  for await (const chunk of layer.readContents(0, toc.contentsBytes)) contentsBytes += chunk.length;
  return { toc, verification, contentsBytes };
}

/** The image's tree by the tables of its layers, for as long as `use` takes. */
export async function withTocTree<T>(layout: string, tag: string, use: (tree: FileTree) => Promise<T>): Promise<T> {
  const opened: AsyncDisposable[] = [];
  const layers: Layer[] = [];
  try {
    for (const descriptor of await layersOf(layout, tag)) {
      const file = await openLayerFile(blobPath(layout, descriptor.digest));
      opened.push(file);
      const toc = await readToc(file, descriptor);
      if (toc === undefined) throw new Error(`no table of contents in ${descriptor.digest}`);
      layers.push(openTocLayer(file, descriptor, toc, { diffID: descriptor.digest }));
    }
    opened.push(...layers);
    return await use(await mergeLayers(layers));
  } finally {
    for (const resource of opened.reverse()) await resource[Symbol.asyncDispose]();
  }
}

/** Converts the layer's blob at `source`. */
export async function convertLayer(
  source: string,
  target: string,
  options: WriteEstargzTarOptions = {},
): Promise<WrittenEstargz> {
  await using input = await openLayerFile(source);
  await using output = await open(target, "wx");
  return await writeEstargz(decompress(input.chunks()), { write: (bytes) => output.writeFile(bytes) }, options);
}

/** Writes an OCI layout around layers whose blobs are there already: an image `latest`. */
export async function writeImage(layout: string, layers: readonly WrittenEstargz[]): Promise<void> {
  const put = async (mediaType: string, document: object): Promise<object> => {
    const content = Buffer.from(JSON.stringify(document));
    const digest = digestOf(content);
    await writeFile(blobPath(layout, digest), content);
    return { mediaType, digest, size: content.length };
  };
  const config = await put("application/vnd.oci.image.config.v1+json", {
    os: "linux",
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    config: {},
    rootfs: { type: "layers", diff_ids: layers.map(({ diffID }) => diffID) },
  });
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const descriptors = layers.map(({ mediaType, digest, size, annotations }) => ({
    mediaType,
    digest,
    size,
    annotations,
  }));
  const manifest = await put(manifestType, { schemaVersion: 2, mediaType: manifestType, config, layers: descriptors });
  const annotations = { "org.opencontainers.image.ref.name": "latest" };
  await writeFile(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

/** For `compareTrees`. JSON holds text: Go reads the bytes of a name that are none as U+FFFD. */
export function nameThatIsNoText({ path, field }: Difference): boolean {
  return path.startsWith("odd/names/raw-") && (field === "missing" || field === "extra");
}
