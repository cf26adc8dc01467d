import type { Random } from "./random.js";

/** A reader of untrusted bytes, and what is known of its inputs. */
export interface FuzzTarget {
  readonly name: string;
  /** Inputs to begin with, the same for the same seed. */
  seeds(seed: number): Promise<readonly Uint8Array[]>;
  mutate(input: Uint8Array, random: Random, other: Uint8Array): Uint8Array;
  /** Whether the input was taken. Throws for a fault: a wrong error, or two readings that do not agree. */
  run(input: Uint8Array): Promise<boolean>;
}

/** Found by a comparison of the target's own. */
export class Disagreement extends Error {
  constructor(first: unknown, second: unknown, what: string) {
    super(`${what}\n  ${show(first)}\n  ${show(second)}`);
    this.name = "Disagreement";
  }
}

function show(value: unknown): string {
  return JSON.stringify(value).slice(0, 2000);
}
