import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { addToLayoutIndex, removeFromLayoutIndex } from "@lamella/oci-client";
import { isDigest, parseIndex } from "@lamella/refs";
import type { CallOptions, Descriptor, Resolver } from "@lamella/refs";

import { isErrno, replaceFile } from "./durable.js";
import { ImageStoreError } from "./errors.js";

const NAME = "org.opencontainers.image.ref.name";
/** The names of a store: `index.json` of its OCI layout (image-spec, image-layout.md), each name once. */
export interface LayoutIndex extends Resolver {
  /** By name, as they stand now. */
  list(options?: CallOptions): Promise<ReadonlyMap<string, Descriptor>>;
  /** Sets a name, atomically; other names are left alone, whoever sets them at the same time. Throws `busy`, an `OciClientError`. */
  set(name: string, descriptor: Descriptor, options?: CallOptions): Promise<void>;
  /** Removes a name; one that is not there is a success. */
  remove(name: string, options?: CallOptions): Promise<void>;
}

export async function createLayoutIndex(directory: string): Promise<LayoutIndex> {
  const path = join(directory, "index.json");
  const layout = join(directory, "oci-layout");
  const version = await readIfThere(layout);
  if (version === undefined)
    await replaceFile(`${layout}.tmp-${process.pid}`, layout, '{"imageLayoutVersion":"1.0.0"}\n');
  else checkVersion(directory, version);

  async function read(): Promise<Descriptor[]> {
    const text = await readIfThere(path);
    return text === undefined ? [] : [...parseIndex(text).manifests];
  }

  const nameOf = (descriptor: Descriptor): string | undefined => descriptor.annotations?.[NAME];
  const index: LayoutIndex = {
    async list(options = {}) {
      options.signal?.throwIfAborted();
      const named = (await read()).map((descriptor) => [nameOf(descriptor), descriptor] as const);
      return new Map(named.filter((pair): pair is [string, Descriptor] => pair[0] !== undefined));
    },
    async resolve(name, options) {
      const names = await index.list(options);
      const found = isDigest(name) ? [...names.values()].find(({ digest }) => digest === name) : names.get(name);
      if (found === undefined) throw new ImageStoreError("not_found", `cannot resolve ${name}: not in the store`);
      return found;
    },
    async set(name, descriptor, options = {}) {
      options.signal?.throwIfAborted();
      await addToLayoutIndex(directory, { name, descriptor }, options);
    },
    async remove(name, options = {}) {
      options.signal?.throwIfAborted();
      await removeFromLayoutIndex(directory, name, options);
    },
  };
  return index;
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function checkVersion(directory: string, file: Uint8Array): void {
  const text = new TextDecoder().decode(file);
  if (/^\s*\{[^}]*"imageLayoutVersion"\s*:\s*"1\.0\.0"/.test(text)) return;
  throw new ImageStoreError("store_invalid", `cannot open ${directory}: oci-layout is not of version 1.0.0`);
}
