import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import {
  createDockerArchive,
  createOciArchive,
  createOciLayout,
  openDockerArchive,
  openOciArchive,
  openOciLayout,
} from "@lamella/oci-client";
import type { CopyDestination, CopySource, DockerArchive, OciArchive, RegistryClient } from "@lamella/oci-client";
import { type CallOptions, formatReference } from "@lamella/refs";

import { nameOf, parseImageName, parseNamed } from "./image-name.js";

/** An image that is read, and what must be closed afterwards. */
export interface OpenSource extends CopySource {
  /** The canonical reference, where the source is a registry: the name under which the image is kept. */
  readonly reference?: string;
  /** The canonical references that the image has within an archive: it may be kept under them where they are free. */
  readonly names?: readonly string[];
  close(): Promise<void>;
}

/** A place that is written to. */
export interface OpenDestination extends CopyDestination {
  /** Makes what was written appear, where that is a step of its own. */
  commit(options: CallOptions): Promise<void>;
  /** Closes it; what was not committed is gone. */
  close(): Promise<void>;
}

export interface SourceOptions extends CallOptions {
  /** What an archive with the file name `-` is read from. */
  stdin?: AsyncIterable<Uint8Array> | undefined;
}

/**
 * Opens an image to read: a reference, `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]` or `docker-archive:FILE[:NAME]`. An archive that
 * comes by `stdin` is spooled where temporary files go (`TMPDIR`), nameless once it is all there.
 * @throws {ImageStoreError} `source_invalid`, `source_unsupported`, and what opening throws
 */
export async function openSource(
  text: string,
  client: RegistryClient,
  options: SourceOptions = {},
): Promise<OpenSource> {
  const location = parseImageName(text);
  if (location.scheme === "registry") {
    const { reference } = location;
    const images = client.repository(reference);
    return { images, name: nameOf(reference), reference: formatReference(reference), close: nothing };
  }
  const { scheme, path, name } = location;
  if (scheme === "oci") return { images: await openOciLayout(resolve(path), options), name, close: nothing };
  const { stdin, ...call } = options;
  const images =
    path === "-" && stdin !== undefined
      ? await spooled(stdin, (file) => openArchive(scheme, file, call), call)
      : await openArchive(scheme, resolve(path), call);
  if (scheme === "oci-archive") return { images, name, close: images.close };
  const names = name === "" ? await images.names(call) : [name];
  return { images, name, names: names.map((each) => formatReference(parseNamed(each))), close: images.close };
}

async function openArchive(
  scheme: "oci-archive" | "docker-archive",
  path: string,
  options: CallOptions,
): Promise<OciArchive | DockerArchive> {
  return scheme === "oci-archive" ? openOciArchive(path, options) : openDockerArchive(path, options);
}

/** Opens a file of these bytes, which needs no name once it is open. */
async function spooled<Opened>(
  bytes: AsyncIterable<Uint8Array>,
  open: (path: string) => Promise<Opened>,
  { signal }: CallOptions,
): Promise<Opened> {
  const directory = await mkdtemp(join(tmpdir(), "lamella-archive-"));
  try {
    const path = join(directory, "archive.tar");
    await writeFile(path, bytes, { signal });
    return await open(path);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Opens a place to write an image to, named as a source is. An archive appears with `commit`.
 * @throws {ImageStoreError} `source_invalid`, `source_unsupported`, and what opening throws
 */
export async function openDestination(
  text: string,
  client: RegistryClient,
  options: CallOptions = {},
): Promise<OpenDestination> {
  const location = parseImageName(text);
  if (location.scheme === "registry") {
    const images = client.repository(location.reference);
    return { images, name: location.reference.tag ?? nameOf(location.reference), commit: nothing, close: nothing };
  }
  const { scheme, path, name } = location;
  if (scheme === "oci") {
    return { images: await createOciLayout(resolve(path), options), name, commit: nothing, close: nothing };
  }
  const images = await (scheme === "oci-archive" ? createOciArchive : createDockerArchive)(resolve(path), options);
  return { images, name, commit: (commit) => images.commit(commit), close: async () => images[Symbol.asyncDispose]() };
}

async function nothing(): Promise<void> {}
