import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { readEvents } from "../page/api/event-stream.js";
import type { ServerEvent } from "../page/api/event-stream.js";

async function read(...chunks: readonly (string | Uint8Array)[]): Promise<ServerEvent[]> {
  const encoder = new TextEncoder();
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield typeof chunk === "string" ? encoder.encode(chunk) : chunk;
  }
  return collect(readEvents(body()));
}

async function collect(events: AsyncIterable<ServerEvent>): Promise<ServerEvent[]> {
  const all: ServerEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe("readEvents()", () => {
  it("reads types, data of several lines, and ids that stay until another comes", async () => {
    const text = "event: status\nid: 7\ndata: {\ndata: }\n\ndata:tight\n\n";
    expect(await read(text)).toEqual([
      { type: "status", data: "{\n}", id: "7" },
      { type: "message", data: "tight", id: "7" },
    ]);
  });

  it("passes over comments, retry times, fields that nobody knows and events without data", async () => {
    expect(await read(": here\n\nretry: 10\nevent: status\n\nwhat: ever\ndata: x\n\n")).toEqual([
      { type: "message", data: "x", id: "" },
    ]);
  });

  it("leaves out an event that the end cuts off", async () => {
    expect(await read("data: whole\n\ndata: half\n")).toEqual([{ type: "message", data: "whole", id: "" }]);
  });

  it("reads the same however the bytes are cut, with every line end", async () => {
    const bytes = new TextEncoder().encode("event: a\r\ndata: µ→😀\r\n\r\ndata: 2\r\rid: 9\ndata: 3\n\n");
    const whole = await read(bytes);
    expect(whole.map(({ data }) => data)).toEqual(["µ→😀", "2", "3"]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: bytes.length })), async (cuts) => {
        const ends = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = ends.slice(1).map((end, index) => bytes.slice(ends[index], end));
        expect(await read(...chunks)).toEqual(whole);
      }),
    );
  });
});
