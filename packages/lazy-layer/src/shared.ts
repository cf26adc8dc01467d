import type { CallOptions } from "@lamella/refs";

import { orAborted } from "./or-aborted.js";

/** Things that are opened once and closed when the last who has them lets go. */
export interface Shared<Value> {
  /** Opening is nobody's own: a caller that aborts goes away, and what was opened is closed if nobody else came for it. */
  acquire(key: string, open: () => Promise<Value>, options: CallOptions): Promise<Lease<Value>>;
  /** What is open now. */
  open(): Promise<Value[]>;
}

export interface Lease<Value> {
  readonly value: Value;
  /** May be called twice. */
  release(): Promise<void>;
}

interface Holding<Value> {
  readonly opening: Promise<Value>;
  count: number;
}

export function createShared<Value>(close: (value: Value) => Promise<void>): Shared<Value> {
  const holdings = new Map<string, Holding<Value>>();

  async function release(key: string, holding: Holding<Value>): Promise<void> {
    if (--holding.count > 0) return;
    if (holdings.get(key) === holding) holdings.delete(key);
    const value = await holding.opening.catch(() => undefined);
    if (value !== undefined) await close(value);
  }

  return {
    async acquire(key, open, { signal }) {
      signal?.throwIfAborted();
      const holding = holdings.get(key) ?? { opening: open(), count: 0 };
      holdings.set(key, holding);
      holding.count++;
      let isHeld = true;
      const letGo = async (): Promise<void> => {
        if (!isHeld) return;
        isHeld = false;
        await release(key, holding);
      };
      try {
        return { value: await orAborted(holding.opening, signal), release: letGo };
      } catch (error) {
        void letGo();
        throw error;
      }
    },
    async open() {
      const opened = await Promise.allSettled([...holdings.values()].map(({ opening }) => opening));
      return opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    },
  };
}
