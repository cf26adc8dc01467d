import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { OracleError } from "./errors.js";

/** An image in an OCI layout directory. */
export interface LayoutImage {
  readonly layout: string;
  /** Its `org.opencontainers.image.ref.name`. */
  readonly tag: string;
}

interface Descriptor {
  readonly digest: string;
  readonly annotations?: Record<string, string>;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

const ARCHITECTURES: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64" };

/** The digests of the image's uncompressed layers, lowest first; of an index, those of this machine's platform. */
export async function readDiffIds(image: LayoutImage): Promise<readonly string[]> {
  const named = (await readJson<{ manifests: Descriptor[] }>(join(image.layout, "index.json"))).manifests.find(
    ({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === image.tag,
  );
  const manifest = await readManifest(image, named);
  const config = await readBlob<{ rootfs: { diff_ids: string[] } }>(image.layout, manifest.config);
  return config.rootfs.diff_ids;
}

/** The name that a snapshotter gives the committed top of a chain of layers (OCI image specification, "Layer ChainID"). */
export function topChainId(diffIds: readonly string[]): string {
  return diffIds.reduce((below, diffId) => `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`);
}

async function readManifest(image: LayoutImage, descriptor: Descriptor | undefined): Promise<{ config: Descriptor }> {
  if (!descriptor) throw unreadable(image, "no such tag, or nothing for this platform");
  const document = await readBlob<{ config?: Descriptor; manifests?: Descriptor[] }>(image.layout, descriptor);
  if (document.config) return { config: document.config };
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const matching = document.manifests?.find(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
  );
  return readManifest(image, matching);
}

function readBlob<T>(layout: string, { digest }: Descriptor): Promise<T> {
  return readJson<T>(join(layout, "blobs", digest.replace(":", "/")));
}

/** What fixtures and tests wrote is trusted: nothing is validated here. */
async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, "utf8")) as T;
}

function unreadable(image: LayoutImage, state: string): OracleError {
  return new OracleError("image_unreadable", `cannot read ${image.layout}:${image.tag}: ${state}`);
}
