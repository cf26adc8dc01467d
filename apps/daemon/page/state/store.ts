import { useLayoutEffect, useState } from "preact/hooks";

/** A value that parts of the page share. */
export interface Store<T> {
  get(): T;
  set(value: T): void;
  subscribe(listener: () => void): () => void;
}

export function createStore<T>(initial: T): Store<T> {
  const listeners = new Set<() => void>();
  let current = initial;
  return {
    get: () => current,
    set(value) {
      if (Object.is(value, current)) return;
      current = value;
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The value as it is, drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, draw] = useState(0);
  useLayoutEffect(() => {
    let seen = store.get();
    return store.subscribe(() => {
      if (Object.is(seen, store.get())) return;
      seen = store.get();
      draw((count) => count + 1);
    });
  }, [store]);
  return store.get();
}
