import { request as httpRequest } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { sendDownload } from "../src/api/download.js";
import type { Download } from "../src/api/download.js";
import { startHttpServer } from "../src/http-server.js";
import { ANY_PORT } from "./fixture.js";

const TEXT = "0123456789";

/** A download of some text, which tells what became of it. */
function textDownload(text = TEXT): Download & { closed: number } {
  const download = {
    sizeBytes: text.length,
    tag: "tag",
    headers: { "Content-Type": "text/plain" },
    closed: 0,
    async *read(offset: number, length: number) {
      yield Buffer.from(text.slice(offset, offset + length));
    },
    async [Symbol.asyncDispose]() {
      download.closed++;
    },
  };
  return download;
}

const fail = (error: unknown): never => {
  throw error;
};

async function send(headers: Record<string, string>, text = TEXT): Promise<{ answer: Response; body: string }> {
  const download = textDownload(text);
  const answer = await sendDownload(new Request("http://h/", { headers }), download, fail);
  const body = await answer.text();
  expect(download.closed).toBe(1);
  return { answer, body };
}

describe("sendDownload()", () => {
  it("sends the one range that is asked for", async () => {
    const cases: [range: string, body: string, contentRange: string][] = [
      ["bytes=0-0", "0", "bytes 0-0/10"],
      ["bytes=8-", "89", "bytes 8-9/10"],
      ["bytes=8-99999999999999999999", "89", "bytes 8-9/10"],
      ["bytes=-3", "789", "bytes 7-9/10"],
      ["bytes=-99", TEXT, "bytes 0-9/10"],
      ["Bytes=2-3", "23", "bytes 2-3/10"],
    ];
    for (const [range, expected, contentRange] of cases) {
      const { answer, body } = await send({ Range: range });
      expect([answer.status, body, answer.headers.get("Content-Range"), answer.headers.get("Content-Length")]).toEqual([
        206,
        expected,
        contentRange,
        `${expected.length}`,
      ]);
    }
  });

  it("sends all of it for several ranges and for what is no range", async () => {
    for (const range of ["bytes=0-1,4-5", "bytes=5-4", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0x1-2", ""]) {
      const { answer, body } = await send({ Range: range });
      expect([range, answer.status, body, answer.headers.get("Content-Length")]).toEqual([range, 200, TEXT, "10"]);
      expect(answer.headers.get("Content-Range")).toBeNull();
    }
  });

  it("answers 416 with the size for a range that it has nothing of", async () => {
    for (const [range, text] of [
      ["bytes=10-", TEXT],
      ["bytes=-0", TEXT],
      ["bytes=0-", ""],
      ["bytes=-5", ""],
    ] as const) {
      const { answer, body } = await send({ Range: range }, text);
      expect([answer.status, answer.headers.get("Content-Range"), body]).toEqual([416, `bytes */${text.length}`, ""]);
    }
  });

  it("heeds a range only if what the client has is of the same bytes", async () => {
    const status = async (tag: string): Promise<number> =>
      (await send({ Range: "bytes=1-2", "If-Range": tag })).answer.status;
    expect(await status('"tag"')).toBe(206);
    expect(await status('"other"')).toBe(200);
    expect(await status('W/"tag"')).toBe(200);
    expect(await status("Wed, 21 Oct 2015 07:28:00 GMT")).toBe(200);
  });

  it("sends nothing to who has it", async () => {
    for (const tags of ['"tag"', '"a", W/"tag"', "*"]) {
      const { answer, body } = await send({ "If-None-Match": tags });
      expect([answer.status, body, answer.headers.get("ETag")]).toEqual([304, "", '"tag"']);
    }
    expect((await send({ "If-None-Match": '"other"' })).answer.status).toBe(200);
  });

  it("answers HEAD with what GET would have, and reads nothing", async () => {
    const download = textDownload();
    download.read = () => fail(new Error("read"));
    const request = new Request("http://h/", { method: "HEAD", headers: { Range: "bytes=1-2" } });
    const answer = await sendDownload(request, download, fail);
    expect([answer.status, answer.headers.get("Content-Length"), await answer.text()]).toEqual([200, "10", ""]);
    expect(download.closed).toBe(1);
  });

  it("ends the answer too early where a read fails, and tells of it", async () => {
    const errors: unknown[] = [];
    const download = textDownload();
    const failed = new Error("failed");
    download.read = async function* () {
      yield Buffer.from("01");
      throw failed;
    };
    const answer = await sendDownload(new Request("http://h/"), download, (error) => errors.push(error));
    await expect(answer.text()).rejects.toBe(failed);
    expect([download.closed, errors]).toEqual([1, [failed]]);
  });

  it("is given up by a client that was gone before anybody read it", async () => {
    const gone = new AbortController();
    const download = textDownload();
    await sendDownload(new Request("http://h/", { signal: gone.signal }), download, fail);
    gone.abort();
    await sleep(0);
    expect(download.closed).toBe(1);
  });
});

describe("a download over HTTP", () => {
  const CHUNK_BYTES = 64 << 10;
  const CHUNKS = 400;

  /** Serves one large download, and counts what of it was asked for. */
  async function serveLarge(): Promise<{
    url: string;
    state: { read: number; closed: number; aborted: boolean };
    [Symbol.asyncDispose](): Promise<void>;
  }> {
    const state = { read: 0, closed: 0, aborted: false };
    const download: Download = {
      sizeBytes: CHUNK_BYTES * CHUNKS,
      tag: "large",
      headers: {},
      async *read(_offset, _length, { signal }) {
        signal.addEventListener("abort", () => (state.aborted = true));
        for (let count = 0; count < CHUNKS; count++) {
          state.read++;
          yield Buffer.alloc(CHUNK_BYTES, 1);
        }
      },
      async [Symbol.asyncDispose]() {
        state.closed++;
      },
    };
    const server = await startHttpServer({
      fetch: (request) => sendDownload(request, download, fail),
      address: ANY_PORT,
    });
    return { url: server.url, state, [Symbol.asyncDispose]: () => server.close(0) };
  }

  it("is read no faster than the client takes it, and given up when the client hangs up", async () => {
    await using served = await serveLarge();
    const { state } = served;
    const client = httpRequest(served.url, { agent: false });
    client.on("error", () => {});
    client.end();
    await new Promise<void>((resolve) => client.on("response", (response) => (response.pause(), resolve())));
    await stable(() => state.read);
    // what sockets and streams hold, on both sides
    expect(state.read).toBeLessThan(CHUNKS / 2);
    expect(state.closed).toBe(0);
    client.destroy();
    await until(() => state.closed === 1);
    expect(state.aborted).toBe(true);
  });

  it("is whole for a client that takes all of it", async () => {
    await using served = await serveLarge();
    const bytes = await (await fetch(served.url)).arrayBuffer();
    expect(bytes.byteLength).toBe(CHUNK_BYTES * CHUNKS);
    await until(() => served.state.closed === 1);
  });
});

async function stable(value: () => number): Promise<void> {
  for (let last = -1; last !== value();) {
    last = value();
    await sleep(100);
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(5);
}
