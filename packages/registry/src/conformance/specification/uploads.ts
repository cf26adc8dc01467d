import assert from "node:assert/strict";

import type { Digest } from "@lamella/refs";

import { endingAs, header } from "../client.js";
import { expectStatus } from "./probe.js";
import type { Probe } from "./probe.js";

/** A blob on its way; `digest` may be a wrong one. */
interface NewBlob {
  readonly repository: string;
  readonly digest: Digest;
  readonly bytes: Uint8Array;
}

/** One way to push a blob. Gives the last answer: 201 and where the blob is, or why it was not taken. */
export type UploadWay = (probe: Probe, blob: NewBlob) => Promise<Response>;

const BINARY = { "Content-Type": "application/octet-stream" };

export const UPLOAD_WAYS: Readonly<Record<string, UploadWay>> = {
  "by one POST": postOnly,
  "by POST and PUT": async (probe, { repository, digest, bytes }) =>
    probe.send("PUT", endingAs(digest, await begin(probe, repository)), { headers: BINARY, body: bytes }),
  "as one chunk": chunked({ chunks: 1 }),
  "in three chunks": chunked({ chunks: 3 }),
  "in three chunks, the last by PUT": chunked({ chunks: 3, lastByPut: true }),
  "in three chunks, after one out of order": chunked({ chunks: 3, outOfOrder: true }),
  "in three chunks, the last by PUT, after one out of order": chunked({ chunks: 3, lastByPut: true, outOfOrder: true }),
  "as a stream without a length": async (probe, { repository, digest, bytes }) => {
    const location = await begin(probe, repository);
    const response = await probe.send("PATCH", location, { headers: BINARY, body: pieces(bytes) });
    await expectStatus(response, 202);
    return probe.send("PUT", endingAs(digest, header(response, "Location")));
  },
};

export async function begin(probe: Probe, repository: string): Promise<string> {
  const response = await probe.send("POST", `/v2/${repository}/blobs/uploads/`, { headers: { "Content-Length": "0" } });
  await expectStatus(response, 202);
  return header(response, "Location");
}

/** A registry may let the client go on with a PUT instead. */
async function postOnly(probe: Probe, { repository, digest, bytes }: NewBlob): Promise<Response> {
  const options = { headers: BINARY, body: bytes };
  const response = await probe.send("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, options);
  if (response.status !== 202) return response;
  probe.lack("uploads by one POST");
  await expectStatus(response, 202);
  return probe.send("PUT", endingAs(digest, header(response, "Location")), options);
}

interface ChunkedOptions {
  readonly chunks: number;
  readonly lastByPut?: boolean;
  /** A chunk is sent where another belongs, which is refused, and the state asked for. */
  readonly outOfOrder?: boolean;
}

function chunked({ chunks, lastByPut = false, outOfOrder = false }: ChunkedOptions): UploadWay {
  return async (probe, { repository, digest, bytes }) => {
    const size = Math.ceil(bytes.length / chunks);
    let location = await begin(probe, repository);
    for (let at = 0; at < chunks; at++) {
      const chunk = bytes.subarray(at * size, (at + 1) * size);
      const isLast = at === chunks - 1;
      const [method, path] = isLast && lastByPut ? ["PUT", endingAs(digest, location)] : ["PATCH", location];
      if (outOfOrder && at > 0) location = await sendOutOfOrder(probe, { location, taken: at * size, chunk });
      const headers = { ...BINARY, "Content-Range": `${at * size}-${at * size + chunk.length - 1}` };
      const response = await probe.send(method, isLast && lastByPut ? endingAs(digest, location) : path, {
        headers,
        body: chunk,
      });
      if (isLast && lastByPut) return response;
      await expectStatus(response, 202);
      assert.equal(header(response, "Range"), `0-${at * size + chunk.length - 1}`);
      location = header(response, "Location");
    }
    return probe.send("PUT", endingAs(digest, location));
  };
}

interface OutOfOrder {
  readonly location: string;
  readonly taken: number;
  readonly chunk: Uint8Array;
}

async function sendOutOfOrder(probe: Probe, { location, taken, chunk }: OutOfOrder): Promise<string> {
  const headers = { ...BINARY, "Content-Range": `${taken + 7}-${taken + 7 + chunk.length - 1}` };
  await expectStatus(await probe.send("PATCH", location, { headers, body: chunk }), 416);
  const status = await probe.send("GET", location);
  await expectStatus(status, 204);
  assert.equal(header(status, "Range"), `0-${taken - 1}`);
  return header(status, "Location");
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
}
