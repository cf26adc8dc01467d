import { useCallback, useEffect, useState } from "preact/hooks";

import { session } from "./session.js";
import { useStore } from "./store.js";

/** What was asked for: nothing yet, an error, or a value, which stays while it is asked for again. */
export interface Loaded<T> {
  readonly value?: T;
  readonly error?: unknown;
  readonly reload: () => void;
}

interface Answer<T> {
  readonly about: string;
  readonly value?: T;
  readonly error?: unknown;
}

/** Asks when it is first shown, when `inputs` change, after `reload`, and when the token changes; gives up when it is no longer shown. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, inputs: readonly unknown[]): Loaded<T> {
  const { generation } = useStore(session);
  const [round, setRound] = useState(0);
  const about = JSON.stringify(inputs);
  const [answer, setAnswer] = useState<Answer<T>>({ about });
  useEffect(() => {
    const controller = new AbortController();
    load(controller.signal).then(
      (value) => setAnswer({ about, value }),
      (error: unknown) => {
        if (!controller.signal.aborted)
          setAnswer((before) => ({ ...(before.about === about ? before : { about }), error }));
      },
    );
    return () => controller.abort();
  }, [generation, round, about]);
  const reload = useCallback(() => setRound((count) => count + 1), []);
  return { ...(answer.about === about ? answer : {}), reload };
}
