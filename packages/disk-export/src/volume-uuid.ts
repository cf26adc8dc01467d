import { createHash } from "node:crypto";

import type { CallOptions } from "@lamella/refs";

import type { DiskPlan } from "./disk-plan.js";

const UUID_BYTES = 16;
/** Both superblocks begin at byte 1,024. */
const UUID_AT: Readonly<Record<"ext4" | "erofs", number>> = { ext4: 1024 + 0x68, erofs: 1024 + 48 };

/** The UUID that a planned file system has. */
export async function volumeUuid(
  plan: DiskPlan & { readonly format: "ext4" | "erofs" },
  options: CallOptions = {},
): Promise<Uint8Array> {
  const uuid = new Uint8Array(UUID_BYTES);
  let at = 0;
  for await (const chunk of plan.read(UUID_AT[plan.format], UUID_BYTES, options)) {
    uuid.set(chunk, at);
    at += chunk.length;
  }
  return uuid;
}

/** Another UUID for another purpose, a version 8 one (RFC 9562, 5.8): the same seeds give the same. */
export function deriveUuid(purpose: string, ...seeds: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256").update(`lamella ${purpose}\0`);
  for (const seed of seeds) hash.update(seed);
  const uuid = new Uint8Array(hash.digest().subarray(0, UUID_BYTES));
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}
