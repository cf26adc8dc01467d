/** Numbers that a seed fixes, so that a run can be repeated. */
export interface Random {
  /** A whole number from 0 to under `limit`. */
  below(limit: number): number;
  pick<Value>(values: readonly Value[]): Value;
  /** True once in `times`. */
  once(times: number): boolean;
}

/** Mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  return {
    below,
    pick: (values) => values[below(values.length)] as (typeof values)[number],
    once: (times) => below(times) === 0,
  };
}
