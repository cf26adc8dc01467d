import type { ServerResponse } from "node:http";

import type { FaultAction } from "./fault.js";

/** Sends the body of an answer, with what an action does to it. Resolves when the exchange is over or will never be. */
export async function sendBody(
  response: ServerResponse,
  body: AsyncIterable<Uint8Array>,
  action: FaultAction | undefined,
  count: (bytes: number) => void,
): Promise<void> {
  const send = async (bytes: Uint8Array): Promise<void> => {
    if (bytes.byteLength === 0 || response.destroyed) return;
    count(bytes.byteLength);
    await new Promise<void>((resolve) => {
      response.once("close", resolve);
      response.write(bytes, () => {
        response.off("close", resolve);
        resolve();
      });
    });
  };
  let position = 0;
  const limit = limitOf(action);
  for await (const chunk of body) {
    if (response.destroyed) return;
    const start = position;
    position += chunk.byteLength;
    const kept = chunk.subarray(0, Math.max(limit - start, 0));
    if (action?.kind === "trickle") await sendDrops(response, kept, action, send);
    else await send(action?.kind === "corrupt" ? corrupted(kept, action.atByte - start) : kept);
    if (position >= limit) break;
  }
  if (position >= limit && action?.kind === "reset") {
    // What was sent has to arrive before the connection breaks.
    await pause(RESET_MS);
    response.destroy();
  }
  if (position >= limit && action?.kind === "stall") return;
  if (action?.kind === "extend") await send(new Uint8Array(action.bytes));
  response.end();
}

const RESET_MS = 20;

function limitOf(action: FaultAction | undefined): number {
  switch (action?.kind) {
    case "reset":
    case "truncate":
    case "stall":
      return action.afterBytes ?? 0;
    default:
      return Infinity;
  }
}

function corrupted(chunk: Uint8Array, index: number): Uint8Array {
  const byte = chunk[index];
  if (byte === undefined) return chunk;
  const copy = Uint8Array.from(chunk);
  copy[index] = byte ^ 1;
  return copy;
}

async function sendDrops(
  response: ServerResponse,
  chunk: Uint8Array,
  { bytes, everyMs }: { bytes: number; everyMs: number },
  send: (drop: Uint8Array) => Promise<void>,
): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength && !response.destroyed; offset += bytes) {
    await send(chunk.subarray(offset, offset + bytes));
    await pause(everyMs);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
