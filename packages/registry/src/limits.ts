import { MAX_DOCUMENT_BYTES } from "@lamella/refs";

import type { BodyPace } from "./body.js";

/** What clients may make a registry hold. Uploads are limited by their storage: see `createUploadSessions`. */
export interface RegistryLimits {
  /** Of one manifest; a larger one is refused with 413. 4 MiB if not given, which is also the most. */
  readonly maxManifestBytes?: number;
  /** Of all manifests that are on their way in; what would be more is refused with 429. 64 MiB if not given. */
  readonly maxPendingManifestBytes?: number;
  /** Silence in a request's body, after which it is given up with 408. Two minutes if not given. */
  readonly bodyIdleMs?: number;
  /** What a body has to bring on average after its first `bodyIdleMs`, else it is given up with 408. 500 if not given. */
  readonly minBodyBytesPerSecond?: number;
}

/** The limits as they are in force. */
export interface Limits {
  readonly maxManifestBytes: number;
  readonly maxPendingManifestBytes: number;
  readonly pace: BodyPace;
}

export function withDefaults(limits: RegistryLimits = {}): Limits {
  const { maxManifestBytes = MAX_DOCUMENT_BYTES, maxPendingManifestBytes = 64 << 20 } = limits;
  const { bodyIdleMs = 120_000, minBodyBytesPerSecond = 500 } = limits;
  return {
    maxManifestBytes: Math.min(maxManifestBytes, MAX_DOCUMENT_BYTES),
    maxPendingManifestBytes,
    pace: { idleMs: bodyIdleMs, minBytesPerSecond: minBodyBytesPerSecond },
  };
}
