import { once } from "node:events";
import { rename, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { createApp } from "../src/app.js";
import { startHttpServer } from "../src/http-server.js";
import { ANY_PORT, ask, runDaemon, temporaryDirectory } from "./fixture.js";

const answerOk = async (): Promise<Response> => new Response("ok");

describe("startHttpServer()", () => {
  it("listens on a unix socket that its group may use, and removes it", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "made", "a.sock");
    const server = await startHttpServer({ fetch: answerOk, address: { kind: "unix", path } });
    expect(server.url).toBe(`unix:${path}`);
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(await ask({ socketPath: path })).toEqual({ status: 200, body: "ok" });
    await server.close(0);
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("replaces a socket that a dead process left", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a.sock");
    const dead = createServer().listen({ path });
    await once(dead, "listening");
    const kept = `${path}.kept`;
    await rename(path, kept);
    dead.close();
    await once(dead, "close");
    await rename(kept, path);
    const server = await startHttpServer({ fetch: answerOk, address: { kind: "unix", path } });
    expect((await ask({ socketPath: path })).status).toBe(200);
    await server.close(0);
  });

  it("leaves alone a socket that is in use and a file that is none", async () => {
    await using directory = await temporaryDirectory();
    const used = join(directory.path, "a.sock");
    const first = await startHttpServer({ fetch: answerOk, address: { kind: "unix", path: used } });
    const second = startHttpServer({ fetch: answerOk, address: { kind: "unix", path: used } });
    await expect(second).rejects.toMatchObject({ code: "listen_failed" });
    expect((await ask({ socketPath: used })).status).toBe(200);
    await first.close(0);

    const file = join(directory.path, "file");
    await writeFile(file, "precious");
    const third = startHttpServer({ fetch: answerOk, address: { kind: "unix", path: file } });
    await expect(third).rejects.toMatchObject({ code: "listen_failed" });
    expect((await stat(file)).size).toBe(8);
  });

  it("says which port is taken", async () => {
    const first = await startHttpServer({ fetch: answerOk, address: ANY_PORT });
    const port = Number(new URL(first.url).port);
    const second = startHttpServer({ fetch: answerOk, address: { kind: "tcp", host: "127.0.0.1", port } });
    await expect(second).rejects.toThrow(`cannot listen on http://127.0.0.1:${port}: `);
    await first.close(0);
  });

  it("finishes a request that has begun, and takes no other, when it closes", async () => {
    let finish: (() => void) | undefined;
    const begun = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const slow = async (): Promise<Response> => {
      await begun;
      return new Response("finished");
    };
    const server = await startHttpServer({ fetch: slow, address: ANY_PORT });
    const answer = fetch(server.url);
    await sleep(50);
    const closed = server.close(5000);
    await expect(fetch(server.url)).rejects.toThrow();
    finish?.();
    expect(await (await answer).text()).toBe("finished");
    await closed;
  });

  it("cuts a request that takes longer than the grace", async () => {
    const server = await startHttpServer({ fetch: () => new Promise(() => undefined), address: ANY_PORT });
    const answer = fetch(server.url);
    await sleep(50);
    await Promise.all([server.close(100), expect(answer).rejects.toThrow()]);
  });

  it("refuses headers that are too large, and goes on", async () => {
    const server = await startHttpServer({ fetch: answerOk, address: ANY_PORT });
    const response = await fetch(server.url, { headers: { "X-Large": "a".repeat(20_000) } });
    expect(response.status).toBe(431);
    expect((await fetch(server.url)).status).toBe(200);
    await server.close(0);
  });
});

describe("createApp()", () => {
  const registry = answerOk;

  it("is not ready while it stops, but alive", async () => {
    let ready = true;
    const app = createApp({ registry, isReady: () => ready, loopbackOnly: false });
    expect((await app(new Request("http://a/readyz"))).status).toBe(200);
    ready = false;
    expect((await app(new Request("http://a/readyz"))).status).toBe(503);
    expect((await app(new Request("http://a/healthz"))).status).toBe(200);
  });

  it("hands the registry its paths and no other", async () => {
    const app = createApp({ registry, isReady: () => true, loopbackOnly: false });
    for (const path of ["/v2", "/v2/", "/v2/a/b/tags/list"]) {
      expect((await app(new Request(`http://a${path}`))).status).toBe(200);
    }
    for (const path of ["/", "/v1/", "/v2x", "/healthz/x"]) {
      expect((await app(new Request(`http://a${path}`))).status).toBe(404);
    }
  });
});

describe("startDaemon()", () => {
  it("answers on TCP only to names of this machine", async () => {
    await using running = await runDaemon();
    const { hostname, port } = new URL(running.daemon.url);
    const askAs = async (Host: string): Promise<number | undefined> =>
      (await ask({ hostname, port, path: "/v2/", headers: { Host } })).status;
    expect(await askAs(`127.0.0.1:${port}`)).toBe(200);
    expect(await askAs("localhost")).toBe(200);
    expect(await askAs("rebound.example.com")).toBe(421);
  });

  it("keeps what had come of a chunk whose client went away", async () => {
    await using running = await runDaemon();
    const { hostname, port } = new URL(running.daemon.url);
    const begun = await fetch(`${running.daemon.url}/v2/a/blobs/uploads/`, { method: "POST" });
    const location = begun.headers.get("Location") ?? "";
    const socket = connect(Number(port), hostname);
    socket.write(`PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello`);
    const range = async (): Promise<string | null> => (await fetch(running.daemon.url + location)).headers.get("Range");
    while ((await range()) !== "0-4") await sleep(10);
    socket.destroy();
    const resume = async (): Promise<number> =>
      (await fetch(running.daemon.url + location, { method: "PATCH", body: " again" })).status;
    let status = await resume();
    while (status === 409) {
      await sleep(10);
      status = await resume();
    }
    expect(status).toBe(202);
    expect(await range()).toBe("0-10");
    expect(running.errors).toEqual([]);
  });
});
