import type { LayerFormatErrorCode } from "../errors.js";

/** Throws a `LayerFormatError` that names the entry at work and the broken rule. */
export type Refuse = (code: LayerFormatErrorCode, rule: string) => never;
