/** A signal that aborts with the first of others, for as long as the work that it is made for: it leaves no listener on those that live longer. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}

export function linkSignals(...signals: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const dropped = new AbortController();
  const abort = (reason?: unknown): void => {
    dropped.abort();
    controller.abort(reason);
  };
  for (const each of signals) {
    if (each.aborted) abort(each.reason);
    else each.addEventListener("abort", () => abort(each.reason), { once: true, signal: dropped.signal });
  }
  return { signal: controller.signal, abort, [Symbol.dispose]: () => dropped.abort() };
}
