import { resolve } from "node:path";

import { openOciLayout } from "@lamella/oci-client";
import type { RegistryClient } from "@lamella/oci-client";
import { formatReference, parseReference, withDefaultTag } from "@lamella/refs";
import type { CallOptions, ImageSource, Reference } from "@lamella/refs";

import { ImageStoreError } from "./errors.js";

/** What a SOURCE of the command line names: an image in a registry, or one in an OCI layout. */
export interface Source {
  readonly images: ImageSource;
  /** What `images` resolves: a tag or a digest. */
  readonly target: string;
  /** The canonical reference, where the source is a registry; the name under which the image is kept. */
  readonly reference?: string;
}

/** The command line's schemes: a text that begins with one of them is never taken for an image's name. */
const SCHEMES = ["oci", "oci-archive", "docker-archive", "dir", "disk", "layer"];

/**
 * Opens `alpine:3.20`, `127.0.0.1:5000/app@sha256:…` or `oci:DIR[:NAME]`.
 * @throws {ImageStoreError} `source_invalid`, `source_unsupported`; and what the layout throws.
 */
export async function openSource(text: string, client: RegistryClient, options: CallOptions = {}): Promise<Source> {
  const scheme = SCHEMES.find((name) => text.startsWith(`${name}:`));
  if (scheme === undefined) {
    const reference = withDefaultTag(parse(text));
    const target = reference.digest ?? reference.tag ?? "latest";
    return { images: client.repository(reference), target, reference: formatReference(reference) };
  }
  if (scheme !== "oci") {
    throw new ImageStoreError("source_unsupported", `cannot open ${text}: a source is a reference or oci:DIR[:NAME]`);
  }
  const [directory = "", ...name] = text.slice("oci:".length).split(":");
  const images = await openOciLayout(resolve(directory), options);
  return { images, target: name.join(":") };
}

/** A digest that is wrong in a reference is a slip of the pen, not bytes that lie. */
function parse(text: string): Reference {
  try {
    return parseReference(text);
  } catch (error) {
    throw new ImageStoreError("source_invalid", error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}
