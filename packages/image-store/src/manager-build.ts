import { collectContent, detectMediaType, MAX_DOCUMENT_BYTES, quote, RefsError } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, ImageSource, Platform } from "@lamella/refs";

import type { BuildRun } from "./build-queue.js";
import type { ContentStore } from "./content-store.js";
import { keepDisks, recordDisksOf } from "./disk-cache.js";
import { diskKeys } from "./disk-cache-key.js";
import { ImageStoreError } from "./errors.js";
import { asPhase } from "./hooks.js";
import type { ManagerHooks, PhaseName } from "./hooks.js";
import type { OpenSource } from "./image-location.js";
import type { ImageStore } from "./image-store.js";
import { readImage } from "./image.js";
import type { Image } from "./image.js";
import type { Lease } from "./lease.js";
import type { BuildEvents } from "./manager-events.js";
import { pullImage } from "./pull.js";
import type { QuotaGuard } from "./quota.js";

/** Opens what an image is pulled from, by its canonical name. It is closed when the build, or the question what the name stands for, is over. */
export type OpenImageSource = (name: string, options: CallOptions) => Promise<OpenSource>;

export interface BuildTools {
  readonly store: ImageStore;
  readonly sources: OpenImageSource;
  readonly quota: QuotaGuard;
  readonly hooks: ManagerHooks;
  readonly events: BuildEvents;
  /** Layers under way at once in each build. */
  readonly layers: number | undefined;
}

/**
 * Builds an image from its digest: pulls what is not there, makes its disks, and records image, name, disks and end in one transaction. Until then a
 * lease holds all of it, and the name stands for what it stood for.
 */
export async function buildImage(tools: BuildTools, run: BuildRun): Promise<void> {
  const { signal, build } = run;
  const { store } = tools;
  const phase = <Result>(name: PhaseName, work: () => Promise<Result>): Promise<Result> =>
    asPhase(tools.hooks, { phase: name, name: build.name, build: build.id }, work, signal);
  const work = async (lease: Lease): Promise<void> => {
    const image = await phase("pull", () => pullBuild(tools, run, lease));
    await run.converting();
    const onProgress = (doneBytes: number, totalBytes: number): void =>
      tools.events.emit({ type: "disk", id: build.id, name: build.name, doneBytes, totalBytes });
    const { quota } = tools;
    const disks = await phase("convert", () =>
      keepDisks(store, image, build.request, { lease, quota, onProgress, signal }),
    );
    const keys = disks.map(({ key }) => key);
    const also: NonNullable<Parameters<ImageStore["record"]>[1]>["also"] = async (queries) => {
      await recordDisksOf(queries, image.descriptor.digest, keys);
      await run.ready(queries);
    };
    await phase("record", () => store.record(image, { name: build.name, scope: "registry", also, signal }));
  };
  await phase("build", () => store.lease(`build ${build.name}`, [], work, { signal }));
}

async function pullBuild(tools: BuildTools, run: BuildRun, lease: Lease): Promise<Image> {
  const { store, quota, events } = tools;
  const { signal, build } = run;
  const { id, name, digest, platform, request } = build;
  const local = contentSource(store.content);
  const isWhole = await hasImage(store.content, local, { digest, platform, signal });
  const opened = isWhole ? undefined : await tools.sources(name, { signal });
  const reserved: Disposable[] = [];
  try {
    return await pullImage(store, opened?.images ?? local, digest, {
      platform,
      lease,
      keepBlobs: true,
      concurrency: tools.layers,
      signal,
      onProgress: (progress) => events.emit({ type: "layer", id, name, progress }),
      async onImage(image) {
        requireRoot(image, digest);
        const keys = diskKeys({ diffIDs: image.layers.map(({ diffID }) => diffID), platform: image.config, request });
        await run.resolved({ manifestDigest: image.descriptor.digest, diskKey: keys.at(-1) });
        const bytes = await missingBytes(store.content, image, { signal });
        if (bytes > 0) reserved.push(await quota.reserve({ bytes, what: `pull ${name}` }, { signal }));
      },
    });
  } finally {
    for (const room of reserved) room[Symbol.dispose]();
    await opened?.close();
  }
}

/** What the name has come to stand for since is of no concern to the build. */
function requireRoot({ root }: Image, digest: Digest): void {
  if (root.digest === digest) return;
  throw new RefsError("digest_mismatch", `cannot pull ${digest}: the source gives ${quote(root.digest)}`);
}

/** Of the blobs only: how large layers get inflated nobody knows before. */
async function missingBytes(content: ContentStore, image: Image, options: CallOptions): Promise<number> {
  const { root, descriptor, manifest } = image;
  const blobs = new Map<Digest, number>();
  for (const { digest, size } of [root, descriptor, manifest.config, ...manifest.layers]) blobs.set(digest, size);
  let bytes = 0;
  for (const [digest, size] of blobs) if ((await content.stat(digest, options)) !== size) bytes += size;
  return bytes;
}

interface WantedImage extends CallOptions {
  readonly digest: Digest;
  readonly platform: Platform;
}

/** Whether nothing of an image need be fetched. */
async function hasImage(content: ContentStore, local: ImageSource, wanted: WantedImage): Promise<boolean> {
  const { digest, platform, signal } = wanted;
  try {
    const image = await readImage(local, await local.resolve(digest, { signal }), { platform, signal });
    return (await missingBytes(content, image, { signal })) === 0;
  } catch (error) {
    if (error instanceof ImageStoreError && error.code === "not_found") return false;
    // a damaged document is fetched again
    if (error instanceof RefsError && error.code.endsWith("_mismatch")) return false;
    throw error;
  }
}

/** The blobs of a store as a source of images by digest, whether or not they are recorded. */
export function contentSource(content: ContentStore): ImageSource {
  return {
    fetch: content.fetch,
    async resolve(digest, options): Promise<Descriptor> {
      const size = await content.stat(digest as Digest, options);
      if (size === undefined) throw new ImageStoreError("not_found", `cannot find ${quote(digest)}: not in the store`);
      const untyped = { mediaType: "", digest: digest as Digest, size };
      const bytes = await collectContent(untyped, content.fetch(untyped, options), MAX_DOCUMENT_BYTES, options);
      return { ...untyped, mediaType: detectMediaType(bytes) };
    },
  };
}
