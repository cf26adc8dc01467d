import { readPlatformManifest } from "@lamella/oci-client";
import {
  type CallOptions,
  collectContent,
  type Descriptor,
  type ImageSource,
  isTag,
  parseManifest,
  type Platform,
} from "@lamella/refs";

/** Gives the blob with the table of contents of a layer, where an image of tables has one. */
export type ExternalTocs = (layer: Descriptor, options: CallOptions) => Promise<Uint8Array | undefined>;

/** stargz-snapshotter: the tables of `app:v1` are the layers of the image `app:v1-esgztoc`. */
const TOC_IMAGE_SUFFIX = "-esgztoc";
/** On such a layer: the layer that its table is of. */
const TOC_LAYER_ANNOTATION = "containerd.io/snapshot/stargz/layer.digest";
const MAX_TOC_BYTES = 50 * 2 ** 20;

/**
 * The tables of an image whose eStargz layers have them elsewhere, found as stargz-snapshotter finds them. The image of tables is read when the first of them is
 * asked for, once. It is not vouched for: the annotations of the image's own layers speak for the tables, or nothing does.
 *
 * @param name What the image was called: a digest has no such image beside it.
 * @param options its signal is that of reading the image of tables, which all layers share.
 */
export function externalTocs(
  source: ImageSource,
  name: string,
  options: CallOptions & { platform: Platform },
): ExternalTocs {
  let layers: Promise<ReadonlyMap<string, Descriptor>> | undefined;
  return async (layer, call) => {
    if (!isTag(`${name}${TOC_IMAGE_SUFFIX}`)) return undefined;
    layers ??= readTables(source, `${name}${TOC_IMAGE_SUFFIX}`, options);
    const table = (await layers).get(layer.digest);
    return table === undefined ? undefined : collectContent(table, source.fetch(table, call), MAX_TOC_BYTES, call);
  };
}

/** None if there is no such image. */
async function readTables(
  source: ImageSource,
  name: string,
  options: CallOptions & { platform: Platform },
): Promise<ReadonlyMap<string, Descriptor>> {
  try {
    const { descriptor, bytes } = await readPlatformManifest(source, await source.resolve(name, options), options);
    const { layers } = parseManifest(bytes, descriptor.mediaType);
    return new Map(layers.map((layer) => [layer.annotations?.[TOC_LAYER_ANNOTATION] ?? "", layer]));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "not_found") return new Map();
    throw error;
  }
}
