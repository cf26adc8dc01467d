import { bytesToByteString } from "@lamella/layer-format";
import type { Entry } from "@lamella/layer-format";
import { createDigester } from "@lamella/refs";

import { DiskExportError } from "./errors.js";

const UUID_TEXT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NOT_BYTES = /[^\0-\xff]/;
const BATCH_LENGTH = 64 << 10;
const LABEL_BYTES = 16;

/** Takes a tree's entries in order and names the tree: the same metadata and the same purpose give the same UUID. */
export interface DiskIdentity {
  add(entry: Entry): void;
  /** Sixteen bytes, a version 8 UUID (RFC 9562, 5.8). Called once, after the last entry. */
  uuid(): Uint8Array;
}

/**
 * File contents are not part of the identity: a plan is made before any are read.
 *
 * @param purpose what the UUID is for, so that two formats of one tree differ
 */
export function createDiskIdentity(purpose: string): DiskIdentity {
  const digester = createDigester("sha256");
  let batch = field(purpose);

  function flush(): void {
    if (NOT_BYTES.test(batch))
      throw new DiskExportError("tree_invalid", "cannot place a tree: one of its texts is not a byte string");
    digester.update(Buffer.from(batch, "latin1"));
    batch = "";
  }

  return {
    add(entry) {
      batch += field(entry.path) + field(entry.linkTarget);
      batch +=
        `${entry.kind} ${entry.mode} ${entry.uid} ${entry.gid} ${entry.mtimeSeconds} ${entry.mtimeNanoseconds} ${entry.size} ` +
        `${entry.deviceMajor} ${entry.deviceMinor} ${entry.inode} ${entry.xattrs.size};`;
      for (const name of [...entry.xattrs.keys()].sort()) {
        batch += field(name) + field(bytesToByteString(entry.xattrs.get(name)!));
      }
      if (batch.length >= BATCH_LENGTH) flush();
    },
    uuid() {
      flush();
      const hex = digester.digest().slice("sha256:".length);
      const bytes = hexToBytes(hex.slice(0, 32));
      bytes[6] = (bytes[6]! & 0x0f) | 0x80;
      bytes[8] = (bytes[8]! & 0x3f) | 0x80;
      return bytes;
    },
  };
}

/**
 * The sixteen bytes of a UUID's text.
 * @throws {DiskExportError} `option_invalid`
 */
export function parseUuid(text: string): Uint8Array {
  if (!UUID_TEXT.test(text))
    throw new DiskExportError("option_invalid", `cannot use UUID ${JSON.stringify(text)}: not 8-4-4-4-12 hex digits`);
  return hexToBytes(text.replaceAll("-", ""));
}

/**
 * The bytes of a volume's name; ext4 and EROFS have room for sixteen.
 * @throws {DiskExportError} `option_invalid`
 */
export function encodeLabel(label: string): Uint8Array {
  const bytes = new TextEncoder().encode(label);
  if (bytes.length <= LABEL_BYTES) return bytes;
  const limit = `it has ${bytes.length} bytes, the limit is ${LABEL_BYTES}`;
  throw new DiskExportError("option_invalid", `cannot use label ${JSON.stringify(label)}: ${limit}`);
}

/** Length-framed, so that no two lists of fields are the same text. */
function field(value: string): string {
  return `${value.length}:${value}`;
}

function hexToBytes(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16),
  );
}
