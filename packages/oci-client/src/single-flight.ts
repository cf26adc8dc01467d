import type { CallOptions } from "@lamella/refs";

import { orAborted } from "./deadline.js";

/** Work that callers who want the same at the same time share. */
export interface SingleFlight<Result> {
  /**
   * Joins the work under way for a key, or begins it. A caller that aborts leaves with its reason; the work itself is aborted when all
   * have left. Nothing is kept once it has ended.
   */
  run(key: string, work: (signal: AbortSignal) => Promise<Result>, options: CallOptions): Promise<Result>;
}

interface Flight<Result> {
  readonly result: Promise<Result>;
  readonly controller: AbortController;
  callers: number;
}

export function createSingleFlight<Result>(): SingleFlight<Result> {
  const flights = new Map<string, Flight<Result>>();

  function begin(key: string, work: (signal: AbortSignal) => Promise<Result>): Flight<Result> {
    const controller = new AbortController();
    const result = work(controller.signal).finally(() => {
      if (flights.get(key) === flight) flights.delete(key);
    });
    const flight: Flight<Result> = { result, controller, callers: 0 };
    flights.set(key, flight);
    return flight;
  }

  return {
    async run(key, work, { signal }) {
      signal?.throwIfAborted();
      const flight = flights.get(key) ?? begin(key, work);
      flight.callers++;
      try {
        return await (signal === undefined ? flight.result : orAborted(flight.result, signal));
      } finally {
        flight.callers--;
        if (flight.callers === 0) {
          // Whoever comes now must not join what is being aborted.
          if (flights.get(key) === flight) flights.delete(key);
          flight.controller.abort(signal?.reason);
        }
      }
    },
  };
}
