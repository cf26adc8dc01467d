import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { streamEvents, withHeartbeats } from "../src/api/event-stream.js";
import type { StreamEvent } from "../src/api/event-stream.js";
import { linkSignals } from "../src/api/linked-signal.js";
import { startHttpServer } from "../src/http-server.js";
import { ALPINE, openTestApi } from "./api-fixture.js";
import type { TestApi } from "./api-fixture.js";
import { runDaemon, temporaryDirectory } from "./fixture.js";

let test: TestApi;
beforeEach(async () => {
  test = await openTestApi();
});
afterEach(async () => {
  await test[Symbol.asyncDispose]();
});

interface Heard {
  readonly id: string;
  readonly event: string;
  readonly data: { readonly id: number; readonly status?: string; readonly name: string; readonly done_bytes?: number };
}

const path = (name: string): string => `/images/${encodeURIComponent(name)}/events`;

function eventOf(frame: string): Heard | undefined {
  const lines = new Map(frame.split("\n").map((line) => line.split(": ", 2).concat("") as [string, string]));
  const data = frame.split("\n").find((line) => line.startsWith("data: "));
  if (data === undefined) return undefined;
  return { id: lines.get("id")!, event: lines.get("event")!, data: JSON.parse(data.slice("data: ".length)) };
}

/** Events until the stream ends, or for as long as somebody asks for them. */
async function* heard(response: Response): AsyncGenerator<Heard> {
  expect(response.headers.get("Content-Type")).toBe("text/event-stream");
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const frames = (rest + text).split("\n\n");
    rest = frames.pop() ?? "";
    for (const frame of frames) {
      const event = eventOf(frame);
      if (event !== undefined) yield event;
    }
  }
}

async function all(response: Response): Promise<Heard[]> {
  const events: Heard[] = [];
  for await (const event of heard(response)) events.push(event);
  return events;
}

const statusesOf = (events: readonly Heard[]): (string | undefined)[] =>
  events.filter(({ event }) => event === "status").map(({ data }) => data.status);

describe("GET /images/{name}/events", () => {
  it("tells of an image from how it is to its end, and ends", async () => {
    await test.serve(ALPINE, { layers: ["one", "two"] });
    const open = test.shut();
    await test.create({ name: "alpine" });
    await expect.poll(async () => (await test.manager.getImage("alpine")).status).toBe("pulling");
    const response = await test.request(path("alpine"));
    const following = all(response);
    await expect.poll(() => test.context.events.listening).toBe(1);
    open();
    const events = await following;
    expect(statusesOf(events)).toEqual(["pulling", "converting", "ready"]);
    expect(events.at(-1)?.data).toEqual(await test.ended("alpine"));
    const kinds = new Set(events.map(({ event }) => event));
    expect([...kinds].toSorted()).toEqual(["disk", "layer", "status"]);
    const layer = events.find(({ event }) => event === "layer");
    expect(layer?.data).toMatchObject({
      name: ALPINE,
      layer: expect.stringMatching(/^sha256:/),
      total_bytes: expect.any(Number),
    });
    expect(events.findLast(({ event }) => event === "disk")?.data).toMatchObject({
      name: ALPINE,
      done_bytes: expect.any(Number),
    });
    expect(test.context.events.listening).toBe(0);
  });

  it("tells of an image that has ended that it has, and ends, whatever its client knew", async () => {
    await test.serve(ALPINE);
    await test.create({ name: "alpine" }, { query: "?wait=30" });
    for (const headers of [{}, { "Last-Event-ID": test.context.events.latest }]) {
      const events = await all(await test.request(path("alpine"), { headers }));
      expect(statusesOf(events)).toEqual(["ready"]);
    }
    expect(test.context.events.listening).toBe(0);
    expect((await test.request(path("nothing"))).status).toBe(404);
  });

  it("goes on after what its client has heard, and begins anew for one that knows nothing of this run", async () => {
    await test.serve(ALPINE, { layers: ["one", "two"] });
    const open = test.shut();
    await test.create({ name: "alpine" });
    await expect.poll(async () => (await test.manager.getImage("alpine")).status).toBe("pulling");
    const first = await test.request(path("alpine"));
    let last: Heard | undefined;
    for await (const event of heard(first)) {
      last = event;
      break;
    }
    expect(last?.data.status).toBe("pulling");
    const headers = { "Last-Event-ID": last!.id };
    const again = all(await test.request(path("alpine"), { headers }));
    const anew = all(await test.request(path("alpine"), { headers: { "Last-Event-ID": "another-1" } }));
    await expect.poll(() => test.context.events.listening).toBe(2);
    open();
    expect(statusesOf(await again)).toEqual(["converting", "ready"]);
    expect(statusesOf(await anew)).toEqual(["pulling", "converting", "ready"]);
  });

  it("ends with the build's end when the image is deleted", async () => {
    await test.serve(ALPINE);
    test.shut();
    await test.create({ name: "alpine" });
    const following = all(await test.request(path("alpine")));
    await expect.poll(() => test.context.events.listening).toBe(1);
    await test.request(`/images/${encodeURIComponent("alpine")}`, { method: "DELETE" });
    expect(statusesOf(await following).at(-1)).toBe("cancelled");
  });
});

describe("GET /events", () => {
  it("begins with what has not ended, and tells of all images", async () => {
    for (const name of ["one", "two", "three"])
      await test.serve(`docker.io/library/${name}:latest`, { layers: [name] });
    await test.create({ name: "one" }, { query: "?wait=30" });
    const open = test.shut();
    await test.create({ name: "two" });
    await expect.poll(async () => (await test.manager.getImage("two")).status).toBe("pulling");
    const response = await test.request("/events");
    const seen: string[] = [];
    for await (const { event, data } of heard(response)) {
      if (event !== "status") continue;
      seen.push(`${data.name.split("/").at(-1)} ${data.status}`);
      if (seen.length === 1) {
        await test.create({ name: "three" });
        open();
      }
      if (seen.at(-1) === "three:latest ready") break;
    }
    expect(seen[0]).toBe("two:latest pulling");
    expect(seen).toContain("two:latest ready");
    expect(seen).toContain("three:latest pending");
    expect(seen.some((each) => each.startsWith("one"))).toBe(false);
    expect(test.context.events.listening).toBe(0);
  });

  it("ends when the daemon stops", async () => {
    const response = await test.request("/events");
    const following = all(response);
    await expect.poll(() => test.context.events.listening).toBe(1);
    test.stop.abort();
    expect(await following).toEqual([]);
    expect(test.context.events.listening).toBe(0);
  });

  it("ends at once when lamellad stops, so that nobody waits for it", async () => {
    await using running = await runDaemon();
    const response = await fetch(`${running.daemon.url}/events`);
    const following = all(response);
    const started = performance.now();
    await running.daemon.stop(20_000);
    expect(await following).toEqual([]);
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(running.errors).toEqual([]);
  });

  it("forgets a client that hangs up, also before it has read anything", async () => {
    await using directory = await temporaryDirectory();
    const address = { kind: "unix", path: `${directory.path}/a.sock` } as const;
    const server = await startHttpServer({ fetch: async (request) => test.api.fetch(request), address });
    try {
      const clients = [1, 2, 3].map(() => httpRequest({ socketPath: address.path, path: "/events", agent: false }));
      for (const client of clients) {
        client.on("error", () => {});
        client.end();
      }
      const [response] = (await once(clients[0]!, "response")) as [IncomingMessage];
      response.resume();
      await expect.poll(() => test.context.events.listening).toBe(3);
      for (const client of clients) client.destroy();
      await expect.poll(() => test.context.events.listening).toBe(0);
    } finally {
      await server.close(0);
    }
    expect(test.errors).toEqual([]);
  });
});

describe("streamEvents()", () => {
  async function* count(until: number, asked: number[]): AsyncGenerator<StreamEvent> {
    for (let id = 1; id <= until; id++) {
      asked.push(id);
      yield { id: String(id), event: "e", data: id };
    }
  }

  it("asks for no event that its client does not take", async () => {
    const asked: number[] = [];
    const response = streamEvents(count(1000, asked), { until: linkSignals(), onError: () => {} });
    const reader = response.body!.getReader();
    for (let read = 0; read < 3; read++) await reader.read();
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([1, 2]);
    await reader.cancel();
  });

  it("breaks off, and tells why, when what it tells of cannot be read", async () => {
    async function* failing(): AsyncGenerator<StreamEvent> {
      yield { id: "1", event: "e", data: 1 };
      throw new Error("the database is gone");
    }
    const errors: unknown[] = [];
    const response = streamEvents(failing(), { until: linkSignals(), onError: (error) => errors.push(error) });
    await expect(response.text()).rejects.toThrow("the database is gone");
    expect(errors).toHaveLength(1);
  });

  it("tells of nothing, now and then, when there is nothing to tell", async () => {
    const stop = new AbortController();
    async function* late(): AsyncGenerator<string> {
      await once(stop.signal, "abort");
      yield "at last";
    }
    const seen: (string | undefined)[] = [];
    for await (const each of withHeartbeats(late(), 10)) {
      seen.push(each);
      if (seen.length === 2) stop.abort();
    }
    expect(seen.slice(0, 2)).toEqual([undefined, undefined]);
    expect(seen.at(-1)).toBe("at last");
  });
});

describe("linkSignals()", () => {
  it("aborts with the first, for its reason, and leaves nothing behind", () => {
    const [one, other] = [new AbortController(), new AbortController()];
    const linked = linkSignals(one.signal, other.signal);
    other.abort("enough");
    one.abort("too late");
    expect(linked.signal.reason).toBe("enough");
    expect(linkSignals(one.signal).signal.reason).toBe("too late");
    const kept = new AbortController();
    const dropped = linkSignals(kept.signal);
    dropped[Symbol.dispose]();
    kept.abort();
    expect(dropped.signal.aborted).toBe(false);
  });
});
