import type { CallOptions } from "@lamella/refs";

import type { Build } from "./build-queue-rows.js";
import type { LayerProgress } from "./progress.js";

/**
 * What happens to a build.
 *
 * - `status`: it was put into the queue, began, or ended; `build` is as it is now.
 * - `layer`: a layer on its way in.
 * - `disk`: bytes of a disk that is made; of several, one after another.
 */
export type BuildEvent =
  | { readonly type: "status"; readonly build: Build }
  | { readonly type: "layer"; readonly id: number; readonly name: string; readonly progress: LayerProgress }
  | {
      readonly type: "disk";
      readonly id: number;
      readonly name: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    };

/** Hands events on to any number of listeners. */
export interface BuildEvents {
  emit(event: BuildEvent): void;
  /** From now on, until the signal aborts, which ends it without an error, or `close`. */
  listen(options?: CallOptions): AsyncIterable<BuildEvent>;
  close(): void;
}

/** What a listener that does not keep up has waiting at most. */
const MAX_WAITING = 1000;

export function createBuildEvents(): BuildEvents {
  const listeners = new Set<Listener>();
  let closed = false;
  return {
    emit(event) {
      for (const listener of listeners) listener.put(event);
    },
    listen({ signal } = {}) {
      const listener = new Listener();
      if (closed || signal?.aborted === true) listener.end();
      else listeners.add(listener);
      const stop = (): void => listener.end();
      signal?.addEventListener("abort", stop, { once: true });
      return listener.events(() => {
        signal?.removeEventListener("abort", stop);
        listeners.delete(listener);
      });
    },
    close() {
      closed = true;
      for (const listener of listeners) listener.end();
    },
  };
}

/**
 * Events that wait for one listener, each under what it is about: of the progress of one thing only the latest waits, so a slow listener costs no more
 * than there are things under way. Beyond the limit the oldest go.
 */
class Listener {
  readonly #waiting = new Map<string, BuildEvent>();
  #count = 0;
  #ended = false;
  #wake: () => void = () => {};

  put(event: BuildEvent): void {
    if (this.#ended) return;
    const about = aboutWhat(event) ?? `status ${this.#count++}`;
    this.#waiting.delete(about);
    this.#waiting.set(about, event);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > MAX_WAITING && oldest !== undefined) this.#waiting.delete(oldest);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The listener counts from now on, not from when the first event is asked for. */
  events(leave: () => void): AsyncIterable<BuildEvent> {
    return this.#read(leave);
  }

  async *#read(leave: () => void): AsyncGenerator<BuildEvent> {
    try {
      for (;;) {
        for (const [about, event] of this.#waiting) {
          this.#waiting.delete(about);
          yield event;
        }
        if (this.#ended && this.#waiting.size === 0) return;
        if (this.#waiting.size === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      leave();
    }
  }
}

function aboutWhat(event: BuildEvent): string | undefined {
  if (event.type === "layer") return `layer ${event.id} ${event.progress.layer}`;
  return event.type === "disk" ? `disk ${event.id}` : undefined;
}
