import { createImageManager, openImageStore, openSource, pullImage } from "@lamella/image-store";
import type { DiskRequest, ImageManager, ImageStore } from "@lamella/image-store";
import { createRegistryClient, openOciLayout } from "@lamella/oci-client";

import { ARCHIVED_NAME, PLATFORM, samplePaths } from "./sample-images.js";
import type { SampleName } from "./sample-images.js";

/** Where an operation works. */
export interface Place {
  /** The directory of the store. */
  readonly store: string;
  /** That of `makeSampleImages`. */
  readonly images: string;
}

/** Which image each name of the store stands for; `undefined` for names that are gone. */
export type Names = Readonly<Record<string, SampleName | undefined>>;

/** Something that a store is asked for. */
export interface Operation {
  /** The names that change. */
  readonly after: Names;
  /** Resolves once the store has promised that it is done. Doing again what is done is a success. */
  perform(store: ImageStore, images: string): Promise<void>;
}

const name = (short: string): string => `docker.io/library/${short}:latest`;

/** What a store has before an operation. */
export const BEFORE: Names = { [name("one")]: "a", [name("two")]: "b", [name("two-too")]: "b" };

/** The operations of the matrix. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  pull: { after: { [name("three")]: "c" }, perform: (store, images) => pull(store, images, "c", "three") },
  "convert-ext4": {
    after: { [name("four")]: "c" },
    perform: (store, images) => convert(store, images, { image: "c", as: "four", disk: { format: "ext4" } }),
  },
  "convert-erofs-layers": {
    after: { [name("four")]: "d" },
    perform: (store, images) => convert(store, images, { image: "d", as: "four", disk: { format: "erofs-layers" } }),
  },
  // nothing is to be pulled any more
  "convert-pulled": {
    after: { [name("two")]: "b" },
    perform: (store, images) => convert(store, images, { image: "b", as: "two", disk: { format: "erofs" } }),
  },
  tag: { after: { [name("five")]: "a" }, perform: (store) => store.tag(name("five"), name("one")) },
  untag: {
    after: { [name("two-too")]: undefined },
    async perform(store) {
      await store.untag(name("two-too"));
    },
  },
  remove: {
    after: { [name("one")]: undefined },
    async perform(store) {
      await store.remove(name("one")).catch((error: unknown) => {
        if ((error as { code?: unknown }).code !== "not_found") throw error;
      });
    },
  },
  gc: {
    after: {},
    async perform(store) {
      await store.gc({ graceMs: 0 });
    },
  },
  "import-oci": {
    after: { [name("six")]: "e" },
    perform: (store, images) => importArchive(store, `oci-archive:${samplePaths(images).ociArchive}:e`, name("six")),
  },
  "import-docker": {
    after: { [ARCHIVED_NAME]: "f" },
    perform: (store, images) => importArchive(store, `docker-archive:${samplePaths(images).dockerArchive}`),
  },
};

/** Brings an image of the layout into the store. */
export async function pull(store: ImageStore, images: string, image: SampleName, as: string): Promise<void> {
  const layout = await openOciLayout(samplePaths(images).layout);
  await pullImage(store, layout, image, { platform: PLATFORM, name: name(as) });
}

interface Conversion {
  readonly image: SampleName;
  readonly as: string;
  readonly disk: DiskRequest;
}

/** Has a manager build an image, having taken over what others left. */
export async function convert(store: ImageStore, images: string, { image, as, disk }: Conversion): Promise<void> {
  await using manager = await openManager(store, images, image);
  await manager.recoverInterruptedBuilds();
  await manager.createImage(as, { platform: PLATFORM, disk });
  await manager.waitForReady(as);
}

/** A manager for which every name stands for one image of the layout. */
export async function openManager(store: ImageStore, images: string, image: SampleName): Promise<ImageManager> {
  const layout = await openOciLayout(samplePaths(images).layout);
  return createImageManager(store, {
    sources: async () => ({
      // by digest, as builds ask, whatever the name
      images: { ...layout, resolve: (text, call) => layout.resolve(text.startsWith("sha256:") ? text : image, call) },
      name: image,
      close: async () => {},
    }),
  });
}

/** Brings an image from wherever it is, under the names that it has there unless one is given. */
async function importArchive(store: ImageStore, text: string, as?: string): Promise<void> {
  const client = createRegistryClient();
  try {
    const source = await openSource(text, client);
    try {
      const names = as === undefined ? (source.names ?? []) : [as];
      for (const each of names) {
        const how = { platform: PLATFORM, name: each, onlyIfFree: as === undefined };
        await pullImage(store, source.images, source.name, how);
      }
    } finally {
      await source.close();
    }
  } finally {
    await client.close();
  }
}

/** The operation that brings an image from a registry. */
export function pullFrom(reference: string): string {
  return `${PULL_FROM}${reference}`;
}

const PULL_FROM = "pull-from:";

function findOperation(title: string): Pick<Operation, "perform"> {
  if (title.startsWith(PULL_FROM)) {
    return { perform: (store) => importArchive(store, title.slice(PULL_FROM.length), name("from-registry")) };
  }
  const operation = OPERATIONS[title];
  if (operation === undefined) throw new Error(`cannot perform ${title}: no such operation`);
  return operation;
}

/** Opens a store, does an operation, and tells as soon as it is promised. */
export async function performIn({ store: directory, images }: Place, title: string, done: () => void): Promise<void> {
  const operation = findOperation(title);
  await using store = await openImageStore(directory);
  await operation.perform(store, images);
  done();
}
