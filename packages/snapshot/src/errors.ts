import { LamellaError } from "@lamella/refs";

/** - `layer_mismatch`: an opened layer is not the one of its place in the chain. */
export type SnapshotErrorCode = "layer_mismatch";

export class SnapshotError extends LamellaError<SnapshotErrorCode> {}
