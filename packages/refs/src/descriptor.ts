import type { Digest } from "./digest.js";
import type { Platform } from "./platform.js";

/** What content is, how many bytes it has and their digest (OCI image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes; a safe integer, never negative. */
  readonly size: number;
  readonly platform?: Platform;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
  /** Base64 of the content itself, as the specification's `data` field has it. */
  readonly data?: string;
}
