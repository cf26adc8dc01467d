import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { digestOf, pushMade } from "./daemon-images.js";
import { peakDuring, startLamellad } from "./daemon-process.js";
import type { DaemonProcess } from "./daemon-process.js";
import { openSocket, sendRaw } from "./raw-http.js";

/** What a daemon may hold at most, whatever is done to it; at rest it has about a third. */
const MEMORY_MAX_BYTES = 400 * 2 ** 20;
const WITNESS_PAUSE_MS = 100;
const WITNESS_TIMEOUT_MS = 20_000;
const SLOW_CONNECTIONS = 400;
const IDLE_CONNECTIONS = 10_000;
const IDLE_AT_ONCE = 100;
const SLOW_UPLOADS_MS = 6000;
/** As many buffers of a mebibyte would be too much memory; sockets take some of the blob, and none all of it. */
const TAKING_NOTHING = 600;
const BLOB_BYTES = 32 << 20;
const TAKING_NOTHING_MS = 4000;
/** Headers and bodies of the API have 15 seconds, which are looked at every 5. */
const CUT_AFTER_MS = 25_000;
/** `LAMELLA_DAEMON_SLOW_UPLOADS=1`: one test more. Uploads are given up after two minutes below 500 bytes a second. */
const WAITS_FOR_UPLOADS = process.env["LAMELLA_DAEMON_SLOW_UPLOADS"] !== undefined;
const IMAGE = "localhost/app:v1";
const LARGE_BODY = "HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n";

let work = "";
let daemon: DaemonProcess;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "lamella-daemon-hostile-"));
  daemon = await startLamellad({ root: join(work, "store") });
  await pushMade(`${daemon.host}/app:v1`, [[{ path: "etc/note", bytes: Buffer.from("here\n") }]]);
  expect(await daemon.ended(IMAGE)).toMatchObject({ status: "ready", error: null });
});
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

/** Another client, with a connection for each request: all that it asks while the attack goes on is answered. */
async function othersAreServed<Result>(title: string, attack: Promise<Result>): Promise<Result> {
  const over = new AbortController();
  let answered = 0;
  let slowestMs = 0;
  const witness = async (): Promise<void> => {
    while (!over.signal.aborted || answered === 0) {
      for (const path of ["/healthz", "/images", "/v2/app/manifests/v1"]) {
        const started = performance.now();
        const signal = AbortSignal.timeout(WITNESS_TIMEOUT_MS);
        const response = await fetch(daemon.url + path, { headers: { Connection: "close" }, signal });
        expect([path, response.status]).toEqual([path, 200]);
        await response.arrayBuffer();
        slowestMs = Math.max(slowestMs, performance.now() - started);
      }
      answered++;
      await sleep(WITNESS_PAUSE_MS, undefined, { signal: over.signal }).catch(() => {});
    }
  };
  const attacked = attack.finally(() => over.abort());
  const { result, peakBytes } = await peakDuring(daemon, Promise.all([attacked, witness()]));
  const figures = `${3 * answered} answers to others, the slowest after ${slowestMs.toFixed(0)} ms`;
  console.log(`${title}: ${figures}; ${(peakBytes / 2 ** 20).toFixed(0)} MiB at most`);
  expect(peakBytes).toBeLessThan(MEMORY_MAX_BYTES);
  return result[0];
}

interface SlowClients {
  /** What is sent at once, and what again and again. */
  readonly first: string;
  readonly more: string;
  readonly forMs: number;
}

/** Connections that send a little now and then. @returns how many the daemon has cut or answered by the end */
async function slowClients({ first, more, forMs }: SlowClients): Promise<number> {
  const ended = new Set<number>();
  const sockets = await Promise.all(
    Array.from({ length: SLOW_CONNECTIONS }, async (_, number) => {
      const socket = await openSocket(daemon.port);
      socket.on("close", () => ended.add(number)).on("data", () => ended.add(number));
      socket.write(first);
      return socket;
    }),
  );
  const until = performance.now() + forMs;
  while (performance.now() < until && ended.size < SLOW_CONNECTIONS) {
    for (const [number, socket] of sockets.entries()) if (!ended.has(number)) socket.write(more);
    await sleep(1000);
  }
  const { size } = ended;
  for (const socket of sockets) socket.destroy();
  return size;
}

const api = (body: string): string =>
  `POST /images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n${body}`;

describe("lamellad, while others are served,", () => {
  it("cuts those who do not get their headers or a small body out, and bears slow uploads", async () => {
    const upload = await beginUpload();
    const cut: readonly SlowClients[] = [
      { first: "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n", more: "X-Slow: 1\r\n", forMs: CUT_AFTER_MS },
      { first: api("Content-Length: 1000\r\n\r\n{"), more: " ", forMs: CUT_AFTER_MS },
      { first: api("Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"), more: "1\r\n \r\n", forMs: CUT_AFTER_MS },
    ];
    const borne: readonly SlowClients[] = [
      { first: `PATCH ${upload} ${LARGE_BODY}`, more: "slow", forMs: SLOW_UPLOADS_MS },
      { first: `PUT /v2/app/manifests/slow ${LARGE_BODY}`, more: "slow", forMs: SLOW_UPLOADS_MS },
    ];
    const attack = Promise.all([...cut, ...borne].map(slowClients));
    const ended = await othersAreServed(`${5 * SLOW_CONNECTIONS} slow clients`, attack);
    expect(ended.slice(0, cut.length)).toEqual(cut.map(() => SLOW_CONNECTIONS));
  });

  if (WAITS_FOR_UPLOADS) {
    it("gives up uploads that come too slowly", async () => {
      const path = await beginUpload();
      const slow = { first: `PATCH ${path} ${LARGE_BODY}`, more: "slow", forMs: 150_000 };
      expect(await othersAreServed("slow uploads to their end", slowClients(slow))).toBe(SLOW_CONNECTIONS);
    });
  }

  it("bears more idle connections than it keeps", async () => {
    const attack = async (): Promise<number> => {
      const sockets = [];
      let cut = 0;
      while (sockets.length < IDLE_CONNECTIONS) {
        const opened = await Promise.all(Array.from({ length: IDLE_AT_ONCE }, () => openSocket(daemon.port)));
        for (const socket of opened) socket.on("close", () => cut++).resume();
        sockets.push(...opened);
      }
      await sleep(1000);
      const counted = cut;
      for (const socket of sockets) socket.destroy();
      return counted;
    };
    const cut = await othersAreServed(`${IDLE_CONNECTIONS} idle connections`, attack());
    console.log(`${cut} of them were cut to make room`);
    expect(cut).toBeGreaterThan(IDLE_CONNECTIONS / 2);
  });

  it("bears clients that ask for a large blob and take nothing of it", async () => {
    const blob = Buffer.alloc(BLOB_BYTES);
    const path = `/v2/app/blobs/${digestOf(blob)}`;
    const uploads = `${daemon.url}/v2/app/blobs/uploads/?digest=${digestOf(blob)}`;
    expect((await fetch(uploads, { method: "POST", body: blob })).status).toBe(201);
    const attack = async (): Promise<void> => {
      const sockets = [];
      for (let count = 0; count < TAKING_NOTHING; count++) {
        const socket = await openSocket(daemon.port);
        socket.pause();
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
        sockets.push(socket);
      }
      await sleep(TAKING_NOTHING_MS);
      for (const socket of sockets) socket.destroy();
    };
    await othersAreServed(`${TAKING_NOTHING} clients that take nothing`, attack());
  });

  it("refuses what is too large, without taking it", async () => {
    const large = "x".repeat(300_000);
    const requests: Record<string, [string | AsyncIterable<Uint8Array>, number]> = {
      "a header": [`GET /images HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: ${large}\r\n\r\n`, 431],
      "many headers": [`GET /images HTTP/1.1\r\nHost: 127.0.0.1\r\n${"a: b\r\n".repeat(20_000)}\r\n`, 431],
      "a path": [`GET /images/${large} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 431],
      "a query": [`GET /images?status=${large} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 431],
      "a name": [`GET /images/${"a%2F".repeat(3000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 404],
      "many slashes": [`GET /images/${"a/".repeat(7000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 404],
      "many slashes of a repository": [`GET /v2/${"a/".repeat(7000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 414],
      "a declared body": [api("Content-Length: 10000000000\r\n\r\n{"), 413],
      "a body": [api(`Content-Length: ${large.length}\r\n\r\n${large}`), 413],
      "an endless body": [endless(api("Transfer-Encoding: chunked\r\n\r\n")), 413],
      "a deep document": [api(`Content-Length: 200000\r\n\r\n${'{"name":'.repeat(25_000)}`), 400],
      "a manifest": [
        endless("PUT /v2/app/manifests/v9 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        413,
      ],
    };
    const attack = async (): Promise<void> => {
      for (const [what, [bytes, status]] of Object.entries(requests)) {
        const answer = await sendRaw(daemon.port, bytes);
        expect([what, answer.status], answer.text.slice(0, 500)).toEqual([what, status]);
      }
    };
    await othersAreServed("too large", attack());
  });

  it("refuses what is malformed, or hangs up", async () => {
    const attack = async (): Promise<void> => {
      for (const [what, bytes] of Object.entries(malformed())) {
        const { status = HUNG_UP, text } = await sendRaw(daemon.port, bytes);
        expect([what, status], text.slice(0, 500)).toEqual([what, expect.toSatisfy(isRefusal)]);
      }
    };
    await othersAreServed(`${Object.keys(malformed()).length} malformed requests`, attack());
  });

  it("has changed nothing by all that", async () => {
    expect(await daemon.ask<object[]>("GET", "/images")).toHaveLength(1);
    expect(await daemon.ask("GET", "/v2/_catalog")).toEqual({ repositories: ["app"] });
    expect(await daemon.ask<{ findings: object[] }>("POST", "/check", {})).toMatchObject({ findings: [] });
    expect(daemon.said).not.toMatch(/"level":"(error|fatal)"/);
  });
});

/** In place of a status. */
const HUNG_UP = 400;

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500;
}

async function beginUpload(): Promise<string> {
  const response = await fetch(`${daemon.url}/v2/app/blobs/uploads/`, { method: "POST" });
  expect(response.status).toBe(202);
  return response.headers.get("location")!;
}

/** Chunks without an end, at most so many that a server that takes them all is found out. */
async function* endless(head: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(head);
  const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(0x1_00_00, "x"), Buffer.from("\r\n")]);
  for (let sent = 0; sent < 2 ** 30; sent += chunk.length) yield chunk;
}

/** None of these is a request that anybody has to answer otherwise than with a refusal. */
function malformed(): Record<string, string | Uint8Array> {
  const get = (path: string, headers = ""): string => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n`;
  return {
    noise: "garbage\r\n\r\n",
    "a TLS handshake": Uint8Array.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3, 13, 10, 13, 10]),
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": "GET /images HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    "no host": "GET /images HTTP/1.1\r\n\r\n",
    "two hosts": "GET /images HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    "another host": "GET /images HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a host with a path": "GET /images HTTP/1.1\r\nHost: 127.0.0.1/../x\r\n\r\n",
    "another host as a URL": "GET http://evil.example/images HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a length and chunks": api("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": api("Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}  "),
    "a negative length": api("Content-Length: -1\r\n\r\n"),
    "a length that is no number": api("Content-Length: 0x10\r\n\r\n"),
    "a chunk whose size is no number": api("Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"),
    "a chunk of 2^64 bytes": api("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{}"),
    "an unknown transfer coding": api("Transfer-Encoding: gzip\r\n\r\n{}"),
    "a NUL in a header": get("/images", "X-Nul: a\0b\r\n"),
    "a header without a name": get("/images", ": b\r\n"),
    "a space in a header's name": get("/images", "X Y: b\r\n"),
    "a line that is folded": get("/images", "X-Folded: a\r\n b: c\r\nContent-Length: 1x\r\n"),
    "a NUL in the path": "GET /images/\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "bytes that are no ASCII in the path": Buffer.from(get("/images/\xff\xfe"), "latin1"),
    "escapes that are none": get("/images/%zz"),
    "escapes that are no UTF-8": get("/images/%ff%fe"),
    "an escaped NUL": get("/images/a%00b"),
    "a backslash": get("/images\\..\\..\\etc"),
    "a tunnel": "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "an unknown method": "BREW /images HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a trace": "TRACE /images HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "an expectation that nobody meets": get("/images/x", "Expect: miracles\r\n"),
    "a document that is none": api("Content-Length: 5\r\n\r\n{nope"),
    "a document of another type":
      'POST /images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\n{"name":"alpine:3"} ',
    "a document with more than there is": api('Content-Length: 25\r\n\r\n{"name":"a","__proto__":1}'),
    "a name that is none": api('Content-Length: 20\r\n\r\n{"name":"UPPER/../"} '),
  };
}
