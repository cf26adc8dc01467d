import { resolve } from "node:path";

import {
  createDockerArchive,
  createOciArchive,
  createOciLayout,
  openDockerArchive,
  openOciArchive,
  openOciLayout,
} from "@lamella/oci-client";
import type { CopyDestination, CopySource, RegistryClient, Repository } from "@lamella/oci-client";
import { LamellaError, parseReference, withDefaultTag } from "@lamella/refs";
import type { CallOptions, Reference } from "@lamella/refs";

/** An image that is read, and what must be closed afterwards. */
export interface OpenSource extends CopySource {
  close(): Promise<void>;
}

/** A place that is written to. */
export interface OpenDestination extends CopyDestination {
  /** Makes what was written appear, where that is a step of its own. */
  commit(options: CallOptions): Promise<void>;
  /** Closes it; what was not committed is gone. */
  close(): Promise<void>;
}

/** What the command line names an image with. */
export const LOCATION_HELP =
  "a reference (alpine:3.20), oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]";

const SCHEMES = ["oci", "oci-archive", "docker-archive"] as const;
const OTHER_SCHEMES = ["dir", "disk", "layer"];

type Location =
  | { readonly scheme: (typeof SCHEMES)[number]; readonly path: string; readonly name: string }
  | { readonly scheme: "registry"; readonly reference: Reference };

/** @throws {LamellaError} `source_invalid`, `source_unsupported`, and what opening throws */
export async function openImage(text: string, client: RegistryClient, options: CallOptions): Promise<OpenSource> {
  const location = parseLocation(text);
  if (location.scheme === "registry") {
    return { images: client.repository(location.reference), name: nameOf(location.reference), close: nothing };
  }
  const { scheme, path, name } = location;
  if (scheme === "oci") return { images: await openOciLayout(path, options), name, close: nothing };
  const images = await (scheme === "oci-archive" ? openOciArchive : openDockerArchive)(path, options);
  return { images, name, close: images.close };
}

/** @throws {LamellaError} `source_invalid`, `source_unsupported`, and what opening throws */
export async function openDestination(
  text: string,
  client: RegistryClient,
  options: CallOptions,
): Promise<OpenDestination> {
  const location = parseLocation(text);
  if (location.scheme === "registry") {
    const images = client.repository(location.reference);
    return { images, name: location.reference.tag ?? nameOf(location.reference), commit: nothing, close: nothing };
  }
  const { scheme, path, name } = location;
  if (scheme === "oci") {
    return { images: await createOciLayout(path, options), name, commit: nothing, close: nothing };
  }
  const images = await (scheme === "oci-archive" ? createOciArchive : createDockerArchive)(path, options);
  return { images, name, commit: (commit) => images.commit(commit), close: async () => images[Symbol.asyncDispose]() };
}

/** The repository that a text names, and the reference. @throws {LamellaError} `source_invalid`, `source_unsupported` */
export function openNamedRepository(
  text: string,
  client: RegistryClient,
): { repository: Repository; reference: Reference; name: string } {
  const location = parseLocation(text);
  if (location.scheme !== "registry") {
    throw new LamellaError("source_unsupported", `cannot ask ${text}: only a registry can tell`);
  }
  const { reference } = location;
  return { repository: client.repository(reference), reference, name: nameOf(reference) };
}

function parseLocation(text: string): Location {
  const scheme = SCHEMES.find((name) => text.startsWith(`${name}:`));
  if (scheme !== undefined) {
    const [path = "", ...name] = text.slice(scheme.length + 1).split(":");
    if (path === "") throw new LamellaError("source_invalid", `cannot open ${text}: it names no file`);
    return { scheme, path: resolve(path), name: name.join(":") };
  }
  if (OTHER_SCHEMES.some((other) => text.startsWith(`${other}:`))) {
    throw new LamellaError("source_unsupported", `cannot open ${text}: expected ${LOCATION_HELP}`);
  }
  return { scheme: "registry", reference: parse(text) };
}

/** A digest that is wrong in a reference is a slip of the pen, not bytes that lie. */
function parse(text: string): Reference {
  try {
    return withDefaultTag(parseReference(text));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new LamellaError("source_invalid", message, { cause: error });
  }
}

function nameOf({ digest, tag }: Reference): string {
  return digest ?? tag ?? "latest";
}

async function nothing(): Promise<void> {}
