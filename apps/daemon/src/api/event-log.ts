import { randomBytes } from "node:crypto";

import type { BuildEvent, ImageManager } from "@lamella/image-store";

import { BuildProgress } from "./build-progress.js";
import type { EventLog, LoggedEvent, ListenOptions } from "./context.js";

/** Events that are remembered; and how far a listener may be behind, before it is sent away to begin anew. */
const MAX_EVENTS = 1000;

export interface EventLogOptions {
  /** Ends what is listened to, as disposing does. */
  readonly stopping?: AbortSignal | undefined;
  readonly maxEvents?: number | undefined;
}

/** Follows a manager from now on. Whoever opened the log disposes of it. */
export function openEventLog(manager: Pick<ImageManager, "events">, options: EventLogOptions = {}): EventLog {
  return new ManagerEventLog(manager, options);
}

interface Entry extends LoggedEvent {
  readonly count: number;
}

/** Events under what they are about, in the order in which they came: of the progress of one thing only the latest. */
type Entries = Map<string, Entry>;

class ManagerEventLog implements EventLog {
  /** What an id of another run does not begin with. */
  readonly #run = randomBytes(6).toString("hex");
  readonly #max: number;
  readonly #entries: Entries = new Map();
  readonly #listeners = new Set<Listener>();
  readonly #progress = new BuildProgress();
  readonly #closed = new AbortController();
  readonly #followed: Promise<void>;
  #count = 0;
  /** The last one that is not remembered any more. */
  #forgotten = 0;

  constructor(manager: Pick<ImageManager, "events">, { stopping, maxEvents = MAX_EVENTS }: EventLogOptions) {
    this.#max = maxEvents;
    const close = (): void => this.#close();
    if (stopping?.aborted === true) close();
    stopping?.addEventListener("abort", close, { once: true, signal: this.#closed.signal });
    this.#followed = this.#follow(manager.events({ signal: this.#closed.signal }));
  }

  get listening(): number {
    return this.#listeners.size;
  }

  get latest(): string {
    return this.#idOf(this.#count);
  }

  knows(id: string): boolean {
    return this.#countOf(id) !== undefined;
  }

  listen({ after, name, signal }: ListenOptions = {}): AsyncIterable<LoggedEvent> {
    const listener = new Listener(name, this.#max);
    const known = after === undefined ? undefined : this.#countOf(after);
    if (known !== undefined) {
      for (const [about, entry] of this.#entries) if (entry.count > known) listener.put(about, entry);
    }
    const leave = (): void => {
      listener.end();
      signal?.removeEventListener("abort", leave);
      this.#listeners.delete(listener);
    };
    this.#listeners.add(listener);
    signal?.addEventListener("abort", leave);
    if (this.#closed.signal.aborted || signal?.aborted === true) leave();
    return listener.read(leave);
  }

  progressOf(buildId: number): ReturnType<EventLog["progressOf"]> {
    return this.#progress.of(buildId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await this.#followed;
  }

  async #follow(events: AsyncIterable<BuildEvent>): Promise<void> {
    for await (const event of events) this.#put(event);
    this.#close();
  }

  #put(event: BuildEvent): void {
    this.#progress.take(event);
    const count = ++this.#count;
    const about = aboutWhat(event) ?? `status ${count}`;
    const entry = { id: this.#idOf(count), count, event };
    putLast(this.#entries, about, entry);
    for (const [oldest, { count: forgotten }] of this.#entries) {
      if (this.#entries.size <= this.#max) break;
      this.#entries.delete(oldest);
      this.#forgotten = forgotten;
    }
    for (const listener of this.#listeners) listener.put(about, entry);
  }

  #idOf(count: number): string {
    return `${this.#run}-${count}`;
  }

  /** Of an id of this run after which nothing has been forgotten. */
  #countOf(id: string): number | undefined {
    const [run, text = ""] = id.split("-", 2);
    const count = /^\d{1,15}$/.test(text) ? Number(text) : -1;
    return run === this.#run && count >= this.#forgotten && count <= this.#count ? count : undefined;
  }

  #close(): void {
    this.#closed.abort();
    for (const listener of this.#listeners) listener.end();
  }
}

function putLast(entries: Entries, about: string, entry: Entry): void {
  entries.delete(about);
  entries.set(about, entry);
}

/** What waits for one listener: no more than there are things under way, and steps that it has not heard of. */
class Listener {
  readonly #name: string | undefined;
  readonly #max: number;
  readonly #waiting: Entries = new Map();
  #ended = false;
  #wake: () => void = () => {};

  constructor(name: string | undefined, max: number) {
    this.#name = name;
    this.#max = max;
  }

  put(about: string, entry: Entry): void {
    if (this.#ended || (this.#name !== undefined && nameOf(entry.event) !== this.#name)) return;
    putLast(this.#waiting, about, entry);
    if (this.#waiting.size > this.#max) this.end();
    else this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *read(leave: () => void): AsyncGenerator<LoggedEvent> {
    try {
      for (;;) {
        for (const [about, { id, event }] of this.#waiting) {
          this.#waiting.delete(about);
          yield { id, event };
        }
        if (this.#waiting.size > 0) continue;
        if (this.#ended) return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      leave();
    }
  }
}

function nameOf(event: BuildEvent): string {
  return event.type === "status" ? event.build.name : event.name;
}

function aboutWhat(event: BuildEvent): string | undefined {
  if (event.type === "layer") return `layer ${event.id} ${event.progress.layer}`;
  return event.type === "disk" ? `disk ${event.id}` : undefined;
}
