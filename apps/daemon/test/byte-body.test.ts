import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { startHttpServer } from "../src/http-server.js";
import { makeCertificate } from "./certificate.js";
import { ANY_PORT, temporaryDirectory } from "./fixture.js";

const LARGE_BYTES = (24 << 20) + 77;

interface Body {
  readonly response: Response;
  /** How large the buffers were that were brought to it. */
  readonly asked: number[];
  readonly state: { pulls: number; left: boolean };
}

/** Bytes that tell where they are, so that one of a buffer that was filled too early is another. */
function numbered(length: number, { failAt = Infinity, endAt = length, isBlank = false } = {}): Body {
  const asked: number[] = [];
  const state = { pulls: 0, left: false };
  let at = 0;
  const stream = new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: 1000,
    pull(controller) {
      state.pulls++;
      const request = controller.byobRequest!;
      const view = request.view as Uint8Array;
      asked.push(view.length);
      if (at >= failAt) throw new Error("EIO");
      const count = Math.min(view.length, endAt - at, failAt - at);
      if (!isBlank) fill(view.subarray(0, count), at);
      at += count;
      if (count > 0) request.respond(count);
      if (at < endAt) return;
      controller.close();
      controller.byobRequest?.respond(0);
    },
    cancel() {
      state.left = true;
    },
  });
  return { response: new Response(stream, { headers: { "Content-Length": `${length}` } }), asked, state };
}

function fill(bytes: Uint8Array, at: number): void {
  for (let index = 0; index < bytes.length; index++) bytes[index] = Math.imul(at + index, 0x9e3779b1) >>> 24;
}

function hashOf(length: number): string {
  const bytes = Buffer.alloc(length);
  fill(bytes, 0);
  return createHash("sha256").update(bytes).digest("hex");
}

async function serve(answer: (path: string) => Response): Promise<{
  readonly url: string;
  readonly errors: unknown[];
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const errors: unknown[] = [];
  const server = await startHttpServer({
    fetch: async ({ url }) => answer(new URL(url).pathname),
    address: ANY_PORT,
    onError: (error) => errors.push(error),
  });
  return { url: server.url, errors, [Symbol.asyncDispose]: () => server.close(0) };
}

async function begin(url: string, method = "GET"): Promise<IncomingMessage> {
  const sent = httpRequest(url, { agent: false, method });
  sent.on("error", () => {});
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response;
}

async function openRaw(url: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  await once(socket, "connect");
  socket.write(text);
  return socket;
}

async function hashSlowly(response: IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  let chunks = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    hash.update(chunk);
    if (chunks++ % 100 === 0) await sleep(5);
  }
  return hash.digest("hex");
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

describe("a body that is a stream of bytes", () => {
  it("comes whole to a client that takes it by fits and starts", async () => {
    const body = numbered(LARGE_BYTES);
    await using served = await serve(() => body.response);
    const response = await begin(served.url);
    expect(response.headers["content-length"]).toBe(`${LARGE_BYTES}`);
    expect(await hashSlowly(response)).toBe(hashOf(LARGE_BYTES));
    expect(new Set(body.asked.slice(0, -1))).toEqual(new Set([512 << 10]));
    expect(served.errors).toEqual([]);
  });

  it("comes whole through TLS", async () => {
    await using directory = await temporaryDirectory();
    const tls = makeCertificate(directory.path);
    const fetchLarge = async (): Promise<Response> => numbered(LARGE_BYTES).response;
    const server = await startHttpServer({ fetch: fetchLarge, address: ANY_PORT, tls });
    const sent = httpsRequest(server.url, { agent: false, ca: tls.cert }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect(await hashSlowly(response)).toBe(hashOf(LARGE_BYTES));
    await server.close(0);
  });

  it.each([0, 1, 1000, 512 << 10, (512 << 10) + 1])(
    "of %i bytes leaves the connection to the next request",
    async (length) => {
      await using served = await serve((path) => numbered(path === "/" ? length : 5).response);
      const socket = await openRaw(served.url, get("/") + get("/next"));
      let text = "";
      socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1"))).resume();
      const [first, second] = [Buffer.alloc(length), Buffer.alloc(5)];
      fill(first, 0);
      fill(second, 0);
      await expect.poll(() => text.split("\r\n\r\n").length).toBeGreaterThan(2);
      await expect.poll(() => text.endsWith(second.toString("latin1"))).toBe(true);
      expect(text.slice(text.indexOf("\r\n\r\n") + 4).startsWith(first.toString("latin1"))).toBe(true);
      socket.destroy();
    },
  );

  it("is read no faster than its client takes it, and left when the client is", async () => {
    const body = numbered(1 << 30);
    await using served = await serve(() => body.response);
    const response = await begin(served.url);
    response.pause();
    for (let last = -1; last !== body.state.pulls; await sleep(100)) last = body.state.pulls;
    // what sockets hold, on both sides
    expect(body.state.pulls).toBeLessThan(64);
    expect(body.state.left).toBe(false);
    response.destroy();
    await expect.poll(() => body.state.left).toBe(true);
    expect(served.errors).toEqual([]);
  });

  it("is left also while its bytes are waited for", async () => {
    let isLeft = false;
    let isAsked = false;
    const waiting = new ReadableStream({
      type: "bytes",
      pull: () => {
        isAsked = true;
        return new Promise<void>(() => {});
      },
      cancel: () => void (isLeft = true),
    });
    await using served = await serve(() => new Response(waiting, { headers: { "Content-Length": "9" } }));
    const socket = await openRaw(served.url, get("/"));
    await expect.poll(() => isAsked).toBe(true);
    socket.destroy();
    await expect.poll(() => isLeft).toBe(true);
    expect(served.errors).toEqual([]);
  });

  it("is left without being read if its client was gone before", async () => {
    const body = numbered(1000);
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    let asked = false;
    const server = await startHttpServer({
      async fetch() {
        asked = true;
        await held;
        return body.response;
      },
      address: ANY_PORT,
    });
    const socket = await openRaw(server.url, get("/"));
    await expect.poll(() => asked).toBe(true);
    socket.destroy();
    await sleep(50);
    go();
    await expect.poll(() => body.state).toEqual({ pulls: 0, left: true });
    await server.close(0);
  });

  it.each([
    ["fails", { failAt: 5 << 20 }, /EIO/],
    ["fails at once", { failAt: 0 }, /EIO/],
    ["ends early", { endAt: 5 << 20 }, /5242880 of 10485760 bytes are missing/],
  ])("that %s ends the connection early", async (_, how, message) => {
    await using served = await serve(() => numbered(10 << 20, how).response);
    const socket = await openRaw(served.url, get("/"));
    let count = 0;
    socket.on("data", (chunk: Buffer) => (count += chunk.length)).resume();
    await once(socket, "close");
    expect(count).toBeLessThan(10 << 20);
    expect(served.errors).toEqual([expect.objectContaining({ message: expect.stringMatching(message) as string })]);
  });

  it("is not read while its client has not got an earlier answer", async () => {
    const bodies = new Map(["/1", "/2", "/3"].map((path) => [path, numbered(64 << 20)]));
    await using served = await serve((path) => bodies.get(path)!.response);
    const socket = await openRaw(served.url, [...bodies.keys()].map(get).join(""));
    await expect.poll(() => bodies.get("/1")?.state.pulls).toBeGreaterThan(0);
    await sleep(100);
    expect([bodies.get("/2")?.state.pulls, bodies.get("/3")?.state.pulls]).toEqual([0, 0]);
    socket.destroy();
    await expect.poll(() => bodies.get("/1")?.state.left).toBe(true);
  });

  it("holds less where many clients take nothing, and as much as before when they have gone", async () => {
    const bodies: Body[] = [];
    const answer = (): Response => {
      const body = numbered(64 << 20, { isBlank: true });
      bodies.push(body);
      return body.response;
    };
    await using served = await serve(answer);
    const sockets: Socket[] = [];
    for (let count = 0; count < 260; count++) sockets.push(await openRaw(served.url, get("/")));
    await expect.poll(() => bodies.filter(({ asked }) => asked.length > 0).length, { timeout: 10_000 }).toBe(260);
    const sizes = bodies.map(({ asked }) => asked[0]!).sort((one, other) => one - other);
    expect(sizes.filter((size) => size === 64 << 10)).toHaveLength(4);
    expect(sizes.filter((size) => size === 512 << 10)).toHaveLength(256);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => bodies.every(({ state }) => state.left), { timeout: 10_000 }).toBe(true);
    const response = await begin(served.url);
    await expect.poll(() => bodies.at(-1)?.asked[0]).toBe(512 << 10);
    response.destroy();
  });
});

describe("any other body", () => {
  it("comes as ever: without a length, or not in bytes", async () => {
    const text = (): ReadableStream<Uint8Array> => ReadableStream.from([Buffer.from("one "), Buffer.from("two")]);
    const answers: Record<string, () => Response> = {
      "/stream": () => new Response(text()),
      "/length": () => new Response(text(), { headers: { "Content-Length": "7" } }),
      "/text": () => new Response("one two"),
      "/empty": () => new Response(null, { status: 202 }),
    };
    await using served = await serve((path) => answers[path]!());
    for (const path of ["/stream", "/length", "/text"]) {
      expect(await (await fetch(served.url + path)).text()).toBe("one two");
    }
    expect((await fetch(`${served.url}/empty`)).status).toBe(202);
    const head = await begin(`${served.url}/length`, "HEAD");
    expect(head.headers["content-length"]).toBe("7");
    head.destroy();
  });
});
