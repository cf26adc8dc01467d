import type { CallOptions, Descriptor, Pusher } from "@lamella/refs";

import type { PushOptions } from "./blob-upload.js";
import type { ManifestBytes } from "./manifest-put.js";
import type { PushContent } from "./push.js";

/**
 * What an image can be written to: a repository of a registry, an OCI layout, an archive. Content comes first, what refers to it after,
 * and the name last: whoever finds a name finds the whole image.
 */
export interface ImageSink extends Pusher {
  /** Content by descriptor. What is there already is a success without reading any. */
  push(descriptor: Descriptor, content: PushContent, options?: PushOptions): Promise<void>;
  /** Puts a manifest or an index whose content is there under a name: a tag, or its digest for none. */
  pushManifest(name: string, manifest: ManifestBytes, options?: CallOptions): Promise<Descriptor>;
}
