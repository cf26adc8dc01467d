import type { Build, BuildEvent } from "@lamella/image-store";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { EventLog, LoggedEvent } from "../src/api/context.js";
import { openEventLog } from "../src/api/event-log.js";

/** A manager that tells what it is told to. */
function manager(): {
  events(): AsyncIterable<BuildEvent>;
  tell(...events: BuildEvent[]): Promise<void>;
  close(): void;
} {
  const waiting: (BuildEvent | undefined)[] = [];
  let wake: () => void = () => {};
  const put = (...events: (BuildEvent | undefined)[]): void => {
    waiting.push(...events);
    wake();
  };
  return {
    async *events() {
      for (;;) {
        while (waiting.length > 0) {
          const next = waiting.shift();
          if (next === undefined) return;
          yield next;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    async tell(...events) {
      put(...events);
      await new Promise((resolve) => setImmediate(resolve));
    },
    close: () => put(undefined),
  };
}

function status(id: number, to: Build["status"], name = `image${id}`): BuildEvent {
  return { type: "status", build: { id, name, status: to } as Build };
}

function layer(id: number, doneBytes: number, which = "a", state: "pulling" | "done" = "pulling"): BuildEvent {
  const progress = { layer: `sha256:${which}` as const, state, cached: false, doneBytes, totalBytes: 100 };
  return { type: "layer", id, name: `image${id}`, progress };
}

function disk(id: number, doneBytes: number): BuildEvent {
  return { type: "disk", id, name: `image${id}`, doneBytes, totalBytes: 1000 };
}

/** What waits for a listener now. */
async function waiting(log: EventLog, options: Parameters<EventLog["listen"]>[0] = {}): Promise<LoggedEvent[]> {
  const stop = new AbortController();
  const heard: LoggedEvent[] = [];
  const events = log.listen({ ...options, signal: stop.signal });
  setImmediate(() => stop.abort());
  for await (const event of events) heard.push(event);
  return heard;
}

const eventsOf = (heard: readonly LoggedEvent[]): BuildEvent[] => heard.map(({ event }) => event);

describe("openEventLog()", () => {
  it("goes on after an event that it knows, with the latest of each thing's progress", async () => {
    const source = manager();
    const log = openEventLog(source);
    await source.tell(status(1, "pending"));
    const after = log.latest;
    const later = [status(1, "pulling"), layer(1, 1), status(2, "pending"), layer(1, 2), layer(1, 3, "b")];
    await source.tell(...later);
    expect(eventsOf(await waiting(log, { after }))).toEqual([later[0], later[2], later[3], later[4]]);
    expect(eventsOf(await waiting(log, { after, name: "image2" }))).toEqual([later[2]]);
    expect(await waiting(log, { after: log.latest })).toEqual([]);
    expect(await waiting(log)).toEqual([]);
    source.close();
    await log[Symbol.asyncDispose]();
  });

  it("knows no event of another run, none that is to come, and none from before what it has forgotten", async () => {
    const source = manager();
    const log = openEventLog(source, { maxEvents: 3 });
    const other = openEventLog(manager());
    const ids = [log.latest];
    for (let id = 1; id <= 5; id++) {
      await source.tell(status(id, "pending"));
      ids.push(log.latest);
    }
    expect(ids.map((id) => log.knows(id))).toEqual([false, false, true, true, true, true]);
    for (const id of [other.latest, log.latest.replace(/\d+$/, "6"), "", "-", "x", `${log.latest}0`]) {
      expect(log.knows(id), id).toBe(false);
      expect(await waiting(log, { after: id })).toEqual([]);
    }
  });

  it("sends a listener away that is too far behind, and forgets it", async () => {
    const source = manager();
    const log = openEventLog(source, { maxEvents: 3 });
    const slow = log.listen()[Symbol.asyncIterator]();
    const first = slow.next();
    await source.tell(...[1, 2, 3, 4, 5, 6, 7].map((id) => status(id, "pending")));
    const heard = [await first];
    for (;;) {
      const next = await slow.next();
      if (next.done === true) break;
      heard.push(next);
    }
    expect(heard.length).toBeLessThan(7);
    expect(log.listening).toBe(0);
    expect(eventsOf(await waiting(log, { after: heard[0]?.value?.id }))).toEqual([]);
  });

  it("costs no more for a listener that hears nothing of much progress than for one event", async () => {
    const source = manager();
    const log = openEventLog(source, { maxEvents: 3 });
    const heard: BuildEvent[] = [];
    const stop = new AbortController();
    const events = log.listen({ signal: stop.signal });
    for (let bytes = 0; bytes <= 100; bytes++) await source.tell(layer(1, bytes), disk(1, bytes));
    stop.abort();
    for await (const { event } of events) heard.push(event);
    expect(heard).toEqual([layer(1, 100), disk(1, 100)]);
  });

  it("forgets a listener whose signal aborts, whether or not it has begun to listen", async () => {
    const log = openEventLog(manager());
    const stop = new AbortController();
    log.listen({ signal: stop.signal });
    const next = log.listen({ signal: stop.signal })[Symbol.asyncIterator]().next();
    expect(log.listening).toBe(2);
    stop.abort();
    expect(log.listening).toBe(0);
    expect((await next).done).toBe(true);
    expect(await waiting(log, { signal: AbortSignal.abort() })).toEqual([]);
    log.listen({ signal: AbortSignal.abort() });
    expect(log.listening).toBe(0);
  });

  it("ends for everybody when the daemon stops", async () => {
    const stopping = new AbortController();
    const source = manager();
    const log = openEventLog(source, { stopping: stopping.signal });
    const next = log.listen()[Symbol.asyncIterator]().next();
    stopping.abort();
    expect((await next).done).toBe(true);
    expect(await waiting(log)).toEqual([]);
  });

  it("tells how far a build is for as long as it is under way", async () => {
    const source = manager();
    const log = openEventLog(source);
    const steps: [event: BuildEvent, done: number | undefined, total: number | undefined][] = [
      [status(1, "pending"), undefined, undefined],
      [layer(1, 9), undefined, undefined],
      [status(1, "pulling"), 0, 0],
      [layer(1, 10), 10, 100],
      [layer(1, 5, "b"), 15, 200],
      [layer(1, 100, "a", "done"), 105, 200],
      [status(1, "converting"), 0, 0],
      [disk(1, 500), 500, 1000],
      [status(1, "ready"), undefined, undefined],
      [disk(1, 1000), undefined, undefined],
    ];
    for (const [event, done, total] of steps) {
      await source.tell(event);
      const progress = log.progressOf(1);
      expect([progress?.done_bytes, progress?.total_bytes]).toEqual([done, total]);
    }
    await source.tell(status(2, "pulling"), layer(2, 100, "a", "done"), layer(2, 5, "b"));
    expect(log.progressOf(2)).toMatchObject({ layers_done: 1, layers_total: 2 });
  });

  it("gives a listener that comes again wherever it was broken off the end of each thing, in order", async () => {
    const event = fc.oneof(
      fc.record({ id: fc.integer({ min: 1, max: 3 }), bytes: fc.nat(99) }).map(({ id, bytes }) => layer(id, bytes)),
      fc.integer({ min: 1, max: 3 }).map((id) => status(id, "pulling")),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 30 }), fc.nat(30), async (events, cut) => {
        const source = manager();
        const log = openEventLog(source);
        await source.tell(...events.slice(0, cut));
        const after = log.latest;
        await source.tell(...events.slice(cut));
        const rest = events.slice(cut);
        const isLast = (each: BuildEvent, index: number): boolean =>
          each.type !== "layer" ||
          !rest.slice(index + 1).some((other) => other.type === "layer" && other.id === each.id);
        expect(eventsOf(await waiting(log, { after }))).toEqual(rest.filter(isLast));
      }),
      { numRuns: 50 },
    );
  });
});
