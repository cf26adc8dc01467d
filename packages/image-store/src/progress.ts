import type { Digest } from "@lamella/refs";

/**
 * What happens to one layer, in this order: `waiting`, `pulling` (again and again, as bytes arrive), `done`.
 * A layer that the store has already goes to `done` at once, with `cached`.
 */
export interface LayerProgress {
  readonly layer: Digest;
  readonly state: "waiting" | "pulling" | "done";
  readonly cached: boolean;
  /** Bytes of the blob, as transported. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export type OnProgress = (event: LayerProgress) => void;
