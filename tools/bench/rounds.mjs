/** Measures that take turns, so that what else the machine does meets all of them. */
export const ROUNDS = 5;

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/**
 * Runs each task once to warm up, then all of them in turn. Gives each one's median seconds; a task that gives an object with `seconds` has measured itself.
 * `before` is not counted.
 */
export async function takeTurns(tasks, before = async () => {}, rounds = ROUNDS) {
  const times = tasks.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [at, task] of tasks.entries()) {
      await before();
      const started = performance.now();
      const result = await task();
      if (round > 0) times[at].push(result?.seconds ?? (performance.now() - started) / 1000);
    }
  }
  return times.map(median);
}
