import { once } from "node:events";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";

import { describe, expect, it } from "vitest";

import { createConnectionLimit } from "../src/connection-limit.js";
import { startHttpServer } from "../src/http-server.js";
import { makeCertificate } from "./certificate.js";
import { ANY_PORT, ask, runDaemon, temporaryDirectory } from "./fixture.js";

const answerOk = async (): Promise<Response> => new Response("ok");

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  // else its end is not seen
  socket.resume();
  await once(socket, "connect");
  return socket;
}

describe("createConnectionLimit()", () => {
  it("lets the connection that is idle for longest make room, and none that is busy", async () => {
    let cuts = 0;
    const connections = createConnectionLimit(3, () => cuts++);
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const fetchSlow = async (request: Request): Promise<Response> => {
      if (request.url.endsWith("/slow")) await finished;
      return new Response("ok");
    };
    const server = await startHttpServer({ fetch: fetchSlow, address: ANY_PORT, connections });
    const busy = await open(server.url);
    let answer = "";
    busy.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    busy.write("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await sleep(50);
    const idle = [await open(server.url), await open(server.url)];
    const closed = once(idle[0]!, "close");
    expect((await ask({ ...hostOf(server.url), path: "/" })).body).toBe("ok");
    await closed;
    expect(idle[1]?.destroyed).toBe(false);
    expect(cuts).toBe(1);
    finish();
    while (!answer.endsWith("ok")) await sleep(5);
    busy.destroy();
    await server.close(0);
    await expect.poll(() => connections.count).toBe(0);
  });

  it("counts a connection that has sent two requests at once as busy until both are answered", async () => {
    const connections = createConnectionLimit(1);
    const finish: (() => void)[] = [];
    const slow = async (): Promise<Response> => {
      await new Promise<void>((resolve) => finish.push(resolve));
      return new Response("ok");
    };
    const server = await startHttpServer({ fetch: slow, address: ANY_PORT, connections });
    const busy = await open(server.url);
    let answers = "";
    busy.on("data", (chunk: Buffer) => (answers += chunk.toString()));
    busy.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2));
    while (finish.length < 1) await sleep(5);
    finish[0]?.();
    while (finish.length < 2) await sleep(5);
    const other = await open(server.url);
    await once(other, "close");
    finish[1]?.();
    while (answers.split("HTTP/1.1 200").length < 3) await sleep(5);
    busy.destroy();
    await server.close(0);
  });

  it("answers others while ten times as many connections as there may be send nothing", async () => {
    const connections = createConnectionLimit(50);
    const server = await startHttpServer({ fetch: answerOk, address: ANY_PORT, connections });
    const silent: Socket[] = [];
    for (let at = 0; at < 500; at++) silent.push(await open(server.url));
    for (let at = 0; at < 20; at++) expect((await ask({ ...hostOf(server.url), path: "/" })).status).toBe(200);
    expect(connections.count).toBeLessThanOrEqual(50);
    for (const socket of silent) socket.destroy();
    await server.close(0);
  });

  it("counts the connections of several servers together, encrypted ones too", async () => {
    await using directory = await temporaryDirectory();
    const tls = makeCertificate(directory.path);
    const connections = createConnectionLimit(2);
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const slow = async (): Promise<Response> => finished.then(() => new Response("ok"));
    const plain = await startHttpServer({ fetch: answerOk, address: ANY_PORT, connections });
    const secret = await startHttpServer({ fetch: slow, address: ANY_PORT, tls, connections });
    const busy = new Promise<string>((resolve, reject) => {
      const sent = httpsRequest({ ...hostOf(secret.url), ca: tls.cert, agent: false }, (response) => {
        response.on("data", (chunk: Buffer) => resolve(chunk.toString()));
      });
      sent.on("error", reject);
      sent.end();
    });
    await sleep(100);
    const idle = await open(secret.url);
    const closed = once(idle, "close");
    const other = await open(plain.url);
    await closed;
    other.destroy();
    finish();
    expect(await busy).toBe("ok");
    await Promise.all([plain.close(0), secret.close(0)]);
  });
});

function hostOf(url: string): { hostname: string; port: string } {
  const { hostname, port } = new URL(url);
  return { hostname, port };
}

describe("startHttpServer()", () => {
  it("cuts clients whose headers do not come, drop by drop or at all", async () => {
    const server = await startHttpServer({ fetch: answerOk, address: ANY_PORT, patienceMs: 300 });
    const dripping = await open(server.url);
    dripping.write("GET / HTTP/1.1\r\n");
    const drip = setInterval(() => dripping.write("X-Slow: 1\r\n"), 50);
    dripping.resume();
    await once(dripping, "close");
    clearInterval(drip);
    expect((await fetch(server.url)).status).toBe(200);
    await server.close(0);
  });

  it("cuts a body that comes drop by drop, and not one of an upload", async () => {
    const readAll = async (request: Request): Promise<Response> => new Response(await request.text());
    const server = await startHttpServer({ fetch: readAll, address: ANY_PORT, patienceMs: 300 });
    const begin = async (path: string): Promise<Socket> => {
      const socket = await open(server.url);
      socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n`);
      return socket;
    };
    const small = await begin("/images");
    const drip = setInterval(() => small.write("a"), 100);
    small.resume();
    const upload = await begin("/v2/a/blobs/uploads/1");
    // a drop that comes too late is answered by a reset, which is an error first
    await new Promise((resolve) => small.once("close", resolve));
    clearInterval(drip);
    await sleep(300);
    upload.write("b".repeat(20));
    const [answer] = (await once(upload, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1.1 200/);
    upload.destroy();
    await server.close(0);
  });

  it("speaks TLS 1.2 and later on TCP, and not on a unix socket", async () => {
    await using directory = await temporaryDirectory();
    const tls = makeCertificate(directory.path);
    const socketPath = join(directory.path, "a.sock");
    const server = await startHttpServer({ fetch: answerOk, address: ANY_PORT, tls });
    const local = await startHttpServer({ fetch: answerOk, address: { kind: "unix", path: socketPath }, tls });
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect((await ask({ socketPath, path: "/" })).body).toBe("ok");
    const { port } = new URL(server.url);
    const handshake = async (options: object): Promise<string | null> => {
      const socket = connectTls({ host: "127.0.0.1", port: Number(port), ca: tls.cert, ...options });
      await once(socket, "secureConnect");
      const protocol = socket.getProtocol();
      socket.destroy();
      return protocol;
    };
    expect(await handshake({})).toBe("TLSv1.3");
    await expect(
      handshake({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
    ).rejects.toThrow();
    // a client that speaks HTTP gets no answer and harms nobody
    await expect(ask({ hostname: "127.0.0.1", port, path: "/" })).rejects.toThrow();
    expect(await handshake({})).toBe("TLSv1.3");
    await Promise.all([server.close(0), local.close(0)]);
  });

  it("says that a certificate and a key do not go together, showing neither", async () => {
    await using one = await temporaryDirectory();
    await using other = await temporaryDirectory();
    const { cert } = makeCertificate(one.path);
    const { key } = makeCertificate(other.path);
    const starting = startHttpServer({ fetch: answerOk, address: ANY_PORT, tls: { cert, key } });
    await expect(starting).rejects.toMatchObject({ code: "tls_invalid" });
    await expect(starting).rejects.not.toThrow(/BEGIN/);
  });
});

describe("lamellad", () => {
  it("takes no large bodies but those of the registry", async () => {
    await using running = await runDaemon();
    const send = async (path: string, bytes: number): Promise<number> =>
      (await fetch(running.daemon.url + path, { method: "POST", body: "a".repeat(bytes) })).status;
    expect(await send("/images", 300_000)).toBe(413);
    expect(await send("/v2/a/blobs/uploads/", 300_000)).toBe(202);
    const { hostname, port } = new URL(running.daemon.url);
    const chunked = { "Transfer-Encoding": "chunked" };
    const refused = ask({ hostname, port, method: "POST", path: "/images", headers: chunked }, "a".repeat(300_000));
    expect((await refused).status).toBe(413);
    expect(running.errors).toEqual([]);
  });
});
