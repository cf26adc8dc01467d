/** What a diff does at one path of a walk of both trees. */
export const STEP = {
  /** Nothing: the path goes with a directory above, or neither tree has it. */
  none: 0,
  /** It is the same in both. */
  keep: 1,
  /** It comes with the layer. */
  carry: 2,
  whiteOut: 3,
  /** A directory that comes with the layer, with a marker instead of whiteouts below. */
  clear: 4,
} as const;
export type Step = (typeof STEP)[keyof typeof STEP];

/** Three bytes for each path of a walk. */
export class Steps {
  #steps = new Uint8Array(1024);
  #depths = new Uint16Array(1024);
  #count = 0;

  /** @returns the number of the path in the walk */
  push(step: Step, depth: number): number {
    if (this.#count === this.#steps.length) this.#grow();
    this.#steps[this.#count] = step;
    this.#depths[this.#count] = depth;
    return this.#count++;
  }

  get(index: number): Step {
    return (this.#steps[index] ?? STEP.none) as Step;
  }

  set(index: number, step: Step): void {
    this.#steps[index] = step;
  }

  /**
   * Makes directories opaque where that takes fewer entries: everything that they have in the lower tree has gone or comes anew, and there
   * is more than one whiteout below. Never the root, for which overlayfs does not ask.
   */
  clearDirectories(): void {
    // By depth: what is below the next path up that is one less deep.
    const whiteouts: number[] = [];
    const kept: boolean[] = [];
    const carried: boolean[] = [];
    for (let index = this.#count - 1; index > 0; index--) {
      const depth = this.#depths[index] ?? 0;
      const step = this.get(index);
      let cost = (step === STEP.whiteOut ? 1 : 0) + (whiteouts[depth + 1] ?? 0);
      const comes = step === STEP.carry || carried[depth + 1] === true || cost > 0;
      const keeps = kept[depth + 1] === true || (step === STEP.keep && !comes);
      if (cost > 1 && !keeps) {
        cost = 1;
        this.set(index, STEP.clear);
      }
      whiteouts[depth + 1] = 0;
      kept[depth + 1] = carried[depth + 1] = false;
      whiteouts[depth] = (whiteouts[depth] ?? 0) + cost;
      kept[depth] ||= keeps;
      carried[depth] ||= comes;
    }
  }

  #grow(): void {
    const steps = new Uint8Array(2 * this.#count);
    const depths = new Uint16Array(2 * this.#count);
    steps.set(this.#steps);
    depths.set(this.#depths);
    this.#steps = steps;
    this.#depths = depths;
  }
}
