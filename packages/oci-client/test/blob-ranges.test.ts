import type { ServerResponse } from "node:http";

import type { BlobRange, Descriptor } from "@lamella/refs";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRegistryClient, type RegistryClient, type Repository } from "../src/index.js";
import { failure, PATH, pseudoRandom, readAll, sendCut, sendError, startRegistry } from "./registry-server.js";
import type { TestRegistry } from "./registry-server.js";

const BYTES = pseudoRandom(300_000);
const RANGES = [
  { offset: 0, length: 1 },
  { offset: 1000, length: 70_000 },
  { offset: 299_990, length: 10 },
];

let registry: TestRegistry;
let client: RegistryClient;
let repository: Repository;
let layer: Descriptor;

beforeEach(async () => {
  registry = await startRegistry();
  client = createRegistryClient({ retry: { baseMs: 1, capMs: 20 } });
  repository = client.repository({ domain: registry.host, path: PATH });
  layer = registry.addBlob(BYTES);
});

afterEach(async () => {
  await client.close();
  await registry[Symbol.asyncDispose]();
});

interface Part extends BlobRange {
  readonly headers?: string;
  readonly content?: Uint8Array;
}

const part = ({ offset, length }: BlobRange, size: number | string = BYTES.length): Part => ({
  offset,
  length,
  headers: `Content-Type: application/octet-stream\r\nContent-Range: bytes ${offset}-${offset + length - 1}/${size}\r\n`,
});

/** A body as servers make it. */
function multipart(parts: readonly Part[], { boundary = "3d6b6a416f9b5", start = "", end = "--\r\n" } = {}): Buffer {
  const pieces = parts.flatMap(
    ({ offset, length, headers = "", content = BYTES.subarray(offset, offset + length) }) => [
      Buffer.from(`\r\n--${boundary}\r\n${headers}\r\n`),
      content,
    ],
  );
  return Buffer.concat([Buffer.from(start), ...pieces, Buffer.from(`\r\n--${boundary}${end}`)]);
}

function answers(send: (response: ServerResponse) => void): void {
  registry.intercept = (_, response) => {
    send(response);
    return true;
  };
}

const TYPE = { "content-type": "multipart/byteranges; boundary=3d6b6a416f9b5" };

async function fetched(ranges: readonly BlobRange[] = RANGES): Promise<Map<number, Buffer>> {
  const found = new Map<number, Buffer>();
  for await (const { offset, bytes } of repository.fetchRanges(layer, ranges)) {
    const range = ranges.find((each) => offset >= each.offset && offset < each.offset + each.length);
    if (range === undefined) throw new Error(`nobody asked for ${offset}`);
    const before = found.get(range.offset) ?? Buffer.alloc(0);
    expect(offset).toBe(range.offset + before.length);
    found.set(range.offset, Buffer.concat([before, bytes]));
  }
  for (const [offset, bytes] of found) expect(bytes.equals(BYTES.subarray(offset, offset + bytes.length))).toBe(true);
  return found;
}

const lengthsOf = (found: Map<number, Buffer>): number[] => [...found.values()].map(({ length }) => length);

describe("fetchRanges()", () => {
  it("asks for all with one request", async () => {
    answers((response) => response.writeHead(206, TYPE).end(multipart(RANGES.map((range) => part(range)))));
    expect(lengthsOf(await fetched())).toEqual([1, 70_000, 10]);
    expect(registry.requests.map(({ headers }) => headers.range)).toEqual(["bytes=0-0,1000-70999,299990-299999"]);
  });

  it("reads any parts in any order, however the body is cut", async () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 2, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.integer({ min: 1, max: 300 }),
        fc.infiniteStream(fc.nat()),
        async (sizes, cut, sort) => {
          const ranges = sizes.map((length, at) => ({ offset: at * 6000, length }));
          const mixed = ranges
            .map((range) => ({ range, key: sort.next().value }))
            .sort((a, b) => a.key - b.key)
            .map(({ range }) => range);
          answers((response) => {
            response.writeHead(206, TYPE);
            const body = multipart(mixed.map((range) => part(range)));
            for (let at = 0; at < body.length; at += cut * 50) response.write(body.subarray(at, at + cut * 50));
            response.end();
          });
          const found = await fetched(ranges);
          expect([...found.keys()]).toEqual(mixed.map(({ offset }) => offset));
          expect(lengthsOf(found)).toEqual(mixed.map(({ length }) => length));
        },
      ),
      { numRuns: 25 },
    );
  });

  it("takes what servers make of the boundary, of headers and of what stands around parts", async () => {
    const [first, second] = [part(RANGES[0] as BlobRange), part(RANGES[1] as BlobRange, "*")];
    const bodies: [string, Buffer][] = [
      ['Multipart/ByteRanges;boundary="a b:c"', multipart([first, second], { boundary: "a b:c" })],
      ["multipart/byteranges; charset=x; boundary=b", multipart([first, second], { boundary: "b", end: "--" })],
      ["multipart/byteranges; BOUNDARY=b; x=y", multipart([first, second], { boundary: "b", start: "hello\r\n--c" })],
      ["multipart/byteranges; boundary=b", multipart([first, second], { boundary: "b", end: "-- \t\r\nbye\r\n" })],
      [
        "multipart/byteranges; boundary=b",
        multipart([{ ...first, headers: "X: y\r\nCONTENT-RANGE:bytes 0-0/300000 \r\n" }, second], { boundary: "b" }),
      ],
      ["multipart/byteranges; boundary=b", multipart([first, second], { boundary: "b" }).subarray(2)],
    ];
    for (const [type, body] of bodies) {
      answers((response) => response.writeHead(206, { "content-type": type }).end(body));
      expect(lengthsOf(await fetched()), type).toEqual([1, 70_000]);
    }
  });

  it("gives of the one range that a server answers what it answers", async () => {
    answers((response) =>
      response.writeHead(206, { "content-range": "bytes 1000-1999/300000" }).end(BYTES.subarray(1000, 2000)),
    );
    expect([...(await fetched())].map(([offset, { length }]) => [offset, length])).toEqual([[1000, 1000]]);
  });

  it("leaves the connection to the next request", async () => {
    const sockets = new Set<unknown>();
    registry.intercept = (request, response) => {
      sockets.add(request.socket);
      response.writeHead(206, TYPE).end(multipart(RANGES.map((range) => part(range))));
      return true;
    };
    for (let round = 0; round < 3; round++) await fetched();
    expect(sockets.size).toBe(1);
  });

  const twice = part(RANGES[1] as BlobRange);
  const unusable: Record<string, (response: ServerResponse) => void> = {
    "the whole": (response) => response.writeHead(200).end(BYTES),
    "that it does not know that": (response) => sendError(response, 400, "UNSUPPORTED"),
    "that there is no such range": (response) => sendError(response, 416, "RANGE_INVALID"),
    "a part without a word": (response) => response.writeHead(206).end(BYTES.subarray(0, 1)),
    "another range": (response) => response.writeHead(206, { "content-range": "bytes 5-6/300000" }).end("ab"),
    "more than it says": (response) => response.writeHead(206, { "content-range": "bytes 0-0/300000" }).end("ab"),
    "no boundary": (response) =>
      response.writeHead(206, { "content-type": "multipart/byteranges" }).end(multipart([twice])),
    "another boundary": (response) => response.writeHead(206, TYPE).end(multipart([twice], { boundary: "other" })),
    "a part that nobody asked for": (response) =>
      response.writeHead(206, TYPE).end(multipart([part({ offset: 500, length: 10 })])),
    "a part that goes on behind its range": (response) =>
      response.writeHead(206, TYPE).end(multipart([part({ offset: 0, length: 2 })])),
    "a part of another blob": (response) =>
      response.writeHead(206, TYPE).end(multipart([part({ offset: 0, length: 1 }, 7)])),
    "a part twice": (response) => response.writeHead(206, TYPE).end(multipart([twice, twice])),
    "a part that does not say where it lies": (response) =>
      response.writeHead(206, TYPE).end(multipart([{ ...twice, headers: "X: y\r\n" }])),
    "a part that is longer than it says": (response) =>
      response.writeHead(206, TYPE).end(multipart([{ ...twice, content: BYTES.subarray(1000, 71_001) }])),
    "a part that is shorter than it says": (response) =>
      response.writeHead(206, TYPE).end(multipart([{ ...twice, content: BYTES.subarray(1000, 70_000) }])),
    "no last boundary": (response) => response.writeHead(206, TYPE).end(multipart([twice], { end: "" })),
    nothing: (response) => response.writeHead(206, TYPE).end(),
    "a head without an end": (response) =>
      response.writeHead(206, TYPE).end(multipart([{ ...twice, headers: "a".repeat(17_000) }])),
    "a beginning without an end": (response) =>
      response.writeHead(206, TYPE).end(multipart([twice], { start: "a\n".repeat(9000) })),
  };
  it.each(Object.entries(unusable))("refuses %s", async (_, send) => {
    answers(send);
    await expect(fetched()).rejects.toThrow(failure("range_unusable", "cannot read 3 ranges of blob sha256:"));
    expect(registry.requests).toHaveLength(1);
  });

  it("throws when the body breaks, after what came", async () => {
    answers((response) => sendCut(response, multipart([twice]).subarray(0, 30_000), TYPE, 206));
    let bytes = 0;
    const reading = async (): Promise<void> => {
      for await (const piece of repository.fetchRanges(layer, RANGES)) bytes += piece.bytes.length;
    };
    await expect(reading()).rejects.toThrow(failure("network", "the connection broke"));
    expect(bytes).toBeGreaterThan(25_000);
  });

  it("ends with its reader and with its signal", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    answers((response) => void response.writeHead(206, TYPE).write(multipart([twice]).subarray(0, 30_000)));
    for await (const { bytes } of repository.fetchRanges(layer, RANGES)) {
      expect(bytes.length).toBeGreaterThan(0);
      break;
    }
    const reading = async (): Promise<void> => {
      const pieces = repository.fetchRanges(layer, RANGES, { signal: controller.signal });
      for await (const _ of pieces) controller.abort(reason);
    };
    await expect(reading()).rejects.toBe(reason);
    registry.intercept = () => false;
    expect(await readAll(repository.fetch(layer))).toHaveLength(BYTES.length);
  });

  it("asks for nothing where nothing is wanted, and not for what the blob has not", async () => {
    expect(await fetched([])).toEqual(new Map());
    expect(await fetched([{ offset: 300_000, length: 0 }])).toEqual(new Map());
    await expect(fetched([{ offset: 299_999, length: 2 }])).rejects.toThrow(RangeError);
    expect(registry.requests).toEqual([]);
  });
});
