import { digestOf } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import type { Build } from "../src/build-queue-rows.js";
import { createBuildEvents } from "../src/manager-events.js";
import type { BuildEvent } from "../src/manager-events.js";

function status(id: number): BuildEvent {
  return { type: "status", build: { id } as Build };
}

function disk(id: number, doneBytes: number): BuildEvent {
  return { type: "disk", id, name: "a", doneBytes, totalBytes: 100 };
}

function layer(id: number, text: string, doneBytes: number): BuildEvent {
  const progress = { layer: digestOf(Buffer.from(text)), state: "pulling", cached: false, doneBytes, totalBytes: 9 };
  return { type: "layer", id, name: "a", progress } as BuildEvent;
}

async function collect(events: AsyncIterable<BuildEvent>): Promise<BuildEvent[]> {
  const all: BuildEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe("events of builds", () => {
  it("come to every listener from when it began to listen, in their order", async () => {
    const events = createBuildEvents();
    events.emit(status(1));
    const early = events.listen();
    events.emit(status(2));
    const late = events.listen();
    events.emit(disk(2, 5));
    events.close();
    expect(await collect(early)).toEqual([status(2), disk(2, 5)]);
    expect(await collect(late)).toEqual([disk(2, 5)]);
    expect(await collect(events.listen())).toEqual([]);
  });

  it("of progress are only the latest, for each layer and disk, where the listener is slow", async () => {
    const events = createBuildEvents();
    const listening = events.listen();
    for (let done = 1; done <= 9; done++) {
      for (const event of [layer(1, "x", done), layer(1, "y", done), layer(2, "x", done), disk(1, done)]) {
        events.emit(event);
      }
    }
    events.close();
    expect(await collect(listening)).toEqual([layer(1, "x", 9), layer(1, "y", 9), layer(2, "x", 9), disk(1, 9)]);
  });

  it("that nobody asks for do not pile up beyond a thousand", async () => {
    const events = createBuildEvents();
    const listening = events.listen();
    for (let id = 0; id < 5000; id++) events.emit(status(id));
    events.close();
    const all = await collect(listening);
    expect(all.length).toBe(1000);
    expect(all.at(-1)).toEqual(status(4999));
  });

  it("end with the signal, also while they are waited for", async () => {
    const events = createBuildEvents();
    const stop = new AbortController();
    const waiting = collect(events.listen({ signal: stop.signal }));
    stop.abort();
    expect(await waiting).toEqual([]);
    expect(await collect(events.listen({ signal: AbortSignal.abort() }))).toEqual([]);
  });
});
