import type { RegistryClient, Repository } from "@lamella/oci-client";
import { parseReference, type Reference, withDefaultTag } from "@lamella/refs";

import { ImageStoreError } from "./errors.js";

/** What an image is named with, in words for a help text. */
export const LOCATION_FORMS =
  "a reference (alpine:3.20), oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]";

/** What a file tree is named with, in words for a help text. */
export const TREE_FORMS: string = `${LOCATION_FORMS}; or dir:DIR, layer:FILE, disk:FILE`;

const SCHEMES = ["oci", "oci-archive", "docker-archive"] as const;
const OTHER_SCHEMES = ["dir", "disk", "layer"];

/** Where a text says that an image is. */
type ImageName =
  | { readonly scheme: (typeof SCHEMES)[number]; readonly path: string; readonly name: string }
  | { readonly scheme: "registry"; readonly reference: Reference };

/** The repository that a text names, and the reference. @throws {ImageStoreError} `source_invalid`, `source_unsupported` */
export function openNamedRepository(
  text: string,
  client: RegistryClient,
): { repository: Repository; reference: Reference; name: string } {
  const location = parseImageName(text);
  if (location.scheme !== "registry") {
    throw new ImageStoreError("source_unsupported", `cannot ask ${text}: only a registry can tell`);
  }
  const { reference } = location;
  return { repository: client.repository(reference), reference, name: nameOf(reference) };
}

/** @throws {ImageStoreError} `source_invalid`, `source_unsupported` */
export function parseImageName(text: string): ImageName {
  const scheme = SCHEMES.find((name) => text.startsWith(`${name}:`));
  if (scheme !== undefined) {
    const [path = "", ...name] = text.slice(scheme.length + 1).split(":");
    if (path === "") throw new ImageStoreError("source_invalid", `cannot open ${text}: it names no file`);
    return { scheme, path, name: name.join(":") };
  }
  if (OTHER_SCHEMES.some((other) => text.startsWith(`${other}:`))) {
    throw new ImageStoreError("source_unsupported", `cannot open ${text}: expected ${LOCATION_FORMS}`);
  }
  return { scheme: "registry", reference: parseNamed(text) };
}

/** With its default tag. A digest that is wrong in a reference is a slip of the pen, not bytes that lie. */
export function parseNamed(text: string): Reference {
  try {
    return withDefaultTag(parseReference(text));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ImageStoreError("source_invalid", message, { cause: error });
  }
}

export function nameOf({ digest, tag }: Reference): string {
  return digest ?? tag ?? "latest";
}
