import { resolve } from "node:path";

import type { Image } from "@lamella/image-store";
import { formatPlatform, LamellaError, parsePlatform, quote } from "@lamella/refs";
import type { CallOptions, Platform } from "@lamella/refs";
import type { Labels, Snapshotter } from "@lamella/snapshot";

/** A label of snapshots that were prepared on an image: which one that was. */
const IMAGE_LABEL = "lamella/image";

/** An image that can be found again. */
export interface RememberedImage {
  readonly source: string;
  /** Of its manifest. */
  readonly digest: string;
  readonly platform: Platform;
}

/** Labels that remember an image, wherever the next command is run. */
export function imageLabels(
  source: string,
  { image, platform }: { readonly image: Image; readonly platform: Platform },
): Labels {
  const place = source.replace(
    /^(oci|oci-archive|docker-archive):([^:]+)/,
    (_, scheme, path) => `${scheme}:${resolve(path)}`,
  );
  const remembered = { source: place, digest: image.descriptor.digest, platform: formatPlatform(platform) };
  return { [IMAGE_LABEL]: JSON.stringify(remembered) };
}

/** What a snapshot remembers of its image, to be kept when it is committed. */
export function keptLabels(labels: Labels): Labels {
  const label = labels[IMAGE_LABEL];
  return label === undefined ? {} : { [IMAGE_LABEL]: label };
}

/** The image that a snapshot, or the nearest one below it that says so, was prepared on. */
export async function findImage(
  snapshotter: Snapshotter,
  name: string,
  options: CallOptions,
): Promise<RememberedImage | undefined> {
  for (let next: string | undefined = name; next !== undefined;) {
    const { labels, parent } = await snapshotter.stat(next, options);
    const label = labels[IMAGE_LABEL];
    if (label !== undefined) {
      const { source, digest, platform } = JSON.parse(label) as { source: string; digest: string; platform: string };
      return { source, digest, platform: parsePlatform(platform) };
    }
    next = parent;
  }
  return undefined;
}

/** @throws {LamellaError} `image_changed` */
export function requireSameImage({ source, digest }: RememberedImage, found: string): void {
  if (found === digest) return;
  const advice = "name the one that is meant with --base";
  throw new LamellaError(
    "image_changed",
    `cannot build on ${quote(source)}: it is ${found} now, and was ${digest}; ${advice}`,
  );
}
