import { readImage } from "@lamella/image-store";
import type { Image } from "@lamella/image-store";
import type { CopySource } from "@lamella/oci-client";
import { collectContent, MAX_DOCUMENT_BYTES } from "@lamella/refs";
import type { CallOptions, Descriptor, Platform } from "@lamella/refs";

import type { GlobalOptions } from "./options.js";
import { withRegistries } from "./registry-session.js";
import { withSource } from "./source-session.js";

/** An image that is looked at without being pulled. */
export interface SeenImage {
  readonly root: Descriptor;
  /** The documents for a platform. */
  image(platform: Platform): Promise<Image>;
  /** A document whole, verified. */
  document(descriptor: Descriptor): Promise<Uint8Array>;
}

/** Opens an image of any source for as long as `use` takes. */
export async function withImage(
  text: string,
  options: GlobalOptions,
  use: (image: SeenImage) => Promise<void>,
): Promise<void> {
  const { root } = options;
  await withRegistries(options, ({ client, signal }) =>
    withSource(text, { client, root, signal }, async (source) => use(await see(source, { signal }))),
  );
}

async function see({ images, name }: CopySource, options: CallOptions): Promise<SeenImage> {
  const root = await images.resolve(name, options);
  return {
    root,
    image: (platform) => readImage(images, root, { platform, ...options }),
    document: (descriptor) =>
      collectContent(descriptor, images.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options),
  };
}
