import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Fault, type FaultProxy, startFaultProxy } from "../src/testing.js";
import { pseudoRandom, PATH, startRegistry, type TestRegistry } from "./registry-server.js";

let registry: TestRegistry;
let proxy: FaultProxy;
let url: string;
const bytes = pseudoRandom(100_000);

beforeEach(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy({ upstream: registry.url });
  url = `${proxy.url}/v2/${PATH}/blobs/${registry.addBlob(bytes).digest}`;
});

afterEach(async () => {
  await proxy.close();
  await registry[Symbol.asyncDispose]();
});

async function get(headers: Record<string, string> = {}): Promise<{ response: Response; body: Uint8Array }> {
  const response = await fetch(url, { headers });
  return { response, body: new Uint8Array(await response.arrayBuffer()) };
}

describe("startFaultProxy()", () => {
  it("passes everything on without a fault, and counts", async () => {
    const { response, body } = await get({ range: "bytes=10-19" });
    expect([response.status, response.headers.get("content-range")]).toEqual([206, "bytes 10-19/100000"]);
    expect(body).toEqual(bytes.subarray(10, 20));
    await get();
    expect(proxy.requests).toMatchObject([
      { method: "GET", range: "bytes=10-19", status: 206, sentBytes: 10 },
      { method: "GET", range: undefined, status: 200, sentBytes: 100_000 },
    ]);
    expect([proxy.sentBytes(), proxy.sentBytes(/blobs/), proxy.sentBytes(/tags/)]).toEqual([100_010, 100_010, 0]);
  });

  it("passes bodies on to the registry", async () => {
    const manifest = `${proxy.url}/v2/${PATH}/manifests/1`;
    const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
    expect((await fetch(manifest, { method: "PUT", body: "{}", headers })).status).toBe(201);
    expect(registry.manifests.get("1")?.bytes).toEqual(new TextEncoder().encode("{}"));
  });

  it("hits the requests that a rule names, and those only", async () => {
    const answer = (status: number): Fault["action"] => ({ kind: "answer", status });
    proxy.setFaults([
      { method: "PUT", action: answer(418) },
      { path: /tags/g, action: answer(418) },
      { hasRange: true, times: 1, action: answer(503) },
      { hasRange: false, skip: 1, times: 2, action: answer(429) },
    ]);
    const statuses: number[] = [];
    for (const headers of [{}, { range: "bytes=0-0" }, {}, { range: "bytes=0-0" }, {}, {}]) {
      statuses.push((await get(headers)).response.status);
    }
    expect(statuses).toEqual([200, 503, 429, 206, 429, 200]);
  });

  it.each<[Fault["action"], number, number]>([
    [{ kind: "truncate", afterBytes: 10 }, 200, 10],
    [{ kind: "extend", bytes: 10 }, 200, 100_010],
    [{ kind: "trickle", bytes: 40_000, everyMs: 1 }, 200, 100_000],
    [{ kind: "delay", ms: 5 }, 200, 100_000],
    [{ kind: "ignore_range" }, 200, 100_000],
    [{ kind: "answer", status: 404, body: "none" }, 404, 4],
    [{ kind: "headers", set: { "x-odd": "1" } }, 206, 1],
  ])("does as told by %j", async (action, status, length) => {
    proxy.setFaults([{ action }]);
    const isRanged = action.kind === "ignore_range" || action.kind === "headers";
    const { response, body } = await get(isRanged ? { range: "bytes=0-0" } : {});
    expect([response.status, body.byteLength]).toEqual([status, length]);
    expect(response.headers.get("x-odd")).toBe(action.kind === "headers" ? "1" : null);
  });

  it("flips one bit", async () => {
    proxy.setFaults([{ action: { kind: "corrupt", atByte: 70_000 } }]);
    const { body } = await get();
    const wrong = [...body.keys()].filter((index) => body[index] !== bytes[index]);
    expect(wrong).toEqual([70_000]);
  });

  it("breaks connections before and in a body", async () => {
    for (const action of [{ kind: "reset" }, { kind: "reset", afterBytes: 10 }] as const) {
      proxy.setFaults([{ action }]);
      await expect(get()).rejects.toThrow();
    }
    expect(proxy.requests.map(({ sentBytes }) => sentBytes)).toEqual([0, 10]);
  });

  it("answers no more after a stall, and can be closed then", async () => {
    for (const action of [{ kind: "stall" }, { kind: "stall", afterBytes: 10 }] as const) {
      proxy.setFaults([{ action }]);
      await expect(fetch(url, { signal: AbortSignal.timeout(50) }).then((response) => response.text())).rejects.toThrow(
        "timeout",
      );
    }
    proxy.setFaults([{ action: { kind: "stall" } }]);
    const waiting = fetch(url);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await proxy.close();
    await expect(waiting).rejects.toThrow("fetch failed");
  });

  it("gives tokens that are good for so many requests", async () => {
    await using gated = await startFaultProxy({ upstream: registry.url, tokenUses: 1 });
    const target = url.replace(proxy.url, gated.url);
    const challenge = (await fetch(target)).headers.get("www-authenticate");
    expect(challenge).toBe(`Bearer realm="${gated.url}/token",service="fault-proxy"`);
    const { token } = (await (await fetch(`${gated.url}/token`)).json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    expect([(await fetch(target, { headers })).status, (await fetch(target, { headers })).status]).toEqual([200, 401]);
    expect(gated.tokens).toBe(1);
    expect(registry.requests.map((request) => request.headers.authorization)).toEqual([undefined]);
  });
});
