import { createHash, randomBytes } from "node:crypto";

import { pushImage } from "@lamella/demo/sample";
import { byteString } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
import { createRegistryClient } from "@lamella/oci-client";
import { parseReference } from "@lamella/refs";

/** A file, or a symlink, of a layer that tests make. */
export interface MadeFile {
  readonly path: string;
  readonly bytes?: Uint8Array;
  readonly target?: string;
}

/** Pushes an image of small layers to a registry on this machine. @returns the digest of its manifest */
export async function pushMade(reference: string, layers: readonly (readonly MadeFile[])[]): Promise<string> {
  const client = createRegistryClient();
  try {
    const parsed = parseReference(reference);
    const tars = layers.map((files) => files.map(entryOf));
    return (await pushImage(client.repository(parsed), parsed.tag ?? "latest", tars)).digest;
  } finally {
    await client.close();
  }
}

/** A layer that no other image has, nor any compression makes smaller. */
export function ownLayer(name: string, sizeBytes: number): readonly MadeFile[] {
  return [{ path: name, bytes: randomBytes(sizeBytes) }];
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function entryOf({ path, bytes = new Uint8Array(), target }: MadeFile): TarInput {
  const linkTarget = byteString(target ?? "");
  return {
    path: byteString(path),
    kind: target === undefined ? "file" : "symlink",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 1_700_000_000,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: target === undefined ? bytes.length : linkTarget.length,
    linkTarget,
    deviceMajor: 0,
    deviceMinor: 0,
    async *contents() {
      yield bytes;
    },
  };
}
