import type { Platform, RefsErrorCode } from "../../src/index.js";

/**
 * How a group's inputs are read.
 * - `reference`: with `parseReference`; the verdict is the complete form, or the code of the refusal.
 * - `defaulted`: the same, with the tag `latest` where there is neither tag nor digest.
 * - `name`: as a reference, and it must have neither tag nor digest.
 * - `host`: as the host of a reference; the verdict is `host`, `path` (a repository of Docker Hub begins so), or a code.
 * - `familiar`: as a reference, with its short form as a third part.
 */
export type Reading = "reference" | "defaulted" | "name" | "host" | "familiar";

/** An input, what becomes of it, and for a familiar reading the short form. */
export type ReferenceCase = readonly [input: string, verdict: string, familiar?: string];

/** Where we differ on purpose: an input, the source's verdict, ours, and the reason. */
type Difference = readonly [input: string, theirs: string, ours: string, reason: string];

interface ReferenceGroup {
  readonly title: string;
  readonly reading: Reading;
  readonly cases: readonly ReferenceCase[];
  readonly differences?: readonly Difference[];
}

export interface ReferenceCorpus {
  readonly source: string;
  readonly groups: readonly ReferenceGroup[];
}

/** A reference that is its own complete form. */
export function complete(text: string): ReferenceCase {
  return [text, text];
}

export interface PlatformCorpus {
  readonly source: string;
  /** What a host of the source's tests would be: a lone system or processor is completed from it. */
  readonly host: Platform;
  /** A specifier and its normal form as text. */
  readonly specifiers: readonly (readonly [specifier: string, normal: string])[];
  readonly refused: readonly string[];
  readonly refusalCode: RefsErrorCode;
  /** Specifiers, and platforms of documents that are the same one. */
  readonly equals: readonly (readonly [specifier: string, same: readonly string[]])[];
  readonly formats: readonly (readonly [platform: Platform, text: string])[];
  /** What runs on the wanted platform, and what does not. */
  readonly runs: readonly Ladder[];
  /** What is the wanted platform itself, and what merely runs on it or does not. */
  readonly exact: readonly Ladder[];
  /** A wanted platform and offers, the best first, those that do not fit last. */
  readonly orders: readonly (readonly [wanted: string, offers: readonly string[], best: readonly string[]])[];
  readonly differences: readonly Difference[];
}

export interface Ladder {
  readonly wanted: string;
  readonly yes: readonly string[];
  readonly no: readonly string[];
}
