/** Counts changes, so that whoever has looked before one can wait for it without missing it. */
export class Changes {
  #count = 0;
  readonly #waiting = new Set<() => void>();

  get count(): number {
    return this.#count;
  }

  tell(): void {
    this.#count++;
    for (const wake of this.#waiting) wake();
  }

  /** Until there are more than `seen`, at most so long. Rejects with `signal.reason`. */
  async after(seen: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#count > seen) return;
    let wake: () => void = () => {};
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, timeoutMs);
        this.#waiting.add(wake);
        signal?.addEventListener("abort", wake, { once: true });
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(wake);
      signal?.removeEventListener("abort", wake);
    }
    signal?.throwIfAborted();
  }
}
