import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { startServingThread } from "../src/server/serving-thread.js";
import { buildIndex } from "../src/tree/build-index.js";
import { cString, encodeRequest, parseReply, type Request } from "./kernel.js";
import { sampleTree } from "./sample-tree.js";

/** A file in place of the device: one request is read from it, the answer is written behind it, and then it is at its end. */
describe("startServingThread()", () => {
  let directory = "";
  let fd = -1;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lamella-fuse-"));
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  function device(request: Request): { path: string; length: number } {
    const path = join(directory, "device");
    const bytes = encodeRequest(request);
    writeFileSync(path, bytes);
    fd = openSync(path, "r+");
    return { path, length: bytes.length };
  }

  it("answers in a thread of its own, made of nothing but text", async () => {
    const { path, length } = device({ opcode: "lookup", body: cString("dir"), unique: 3n });
    const index = await buildIndex(sampleTree());
    const thread = startServingThread({ fd, options: { hidesTrustedFrom: "others" } });
    thread.begin(index, () => {});
    await thread.ready;
    expect(await thread.ended).toBeUndefined();
    const reply = parseReply(readFileSync(path).subarray(length));
    expect(reply).toMatchObject({ errno: 0, unique: 3n });
    expect(reply.result.readBigUInt64LE(0)).toBe(2n);
    expect(thread.requestCount()).toBe(1);
  });

  it("tells what it cannot answer", async () => {
    device({ opcode: "lookup", body: cString(".state"), unique: 5n });
    const calls: unknown[] = [];
    const index = await buildIndex(sampleTree());
    const options = { stateName: ".state", hidesTrustedFrom: "others" } as const;
    const thread = startServingThread({ fd, options });
    thread.begin(index, (call) => calls.push(call));
    await thread.ended;
    expect(calls).toEqual([{ kind: "state", unique: 5n, node: 0 }]);
  });

  it("ends before it has begun", async () => {
    device({ opcode: "statfs" });
    const thread = startServingThread({ fd, options: { hidesTrustedFrom: "others" } });
    await thread.cancel();
    await thread.ended;
    expect(thread.requestCount()).toBe(0);
  });

  it("says why it broke down", async () => {
    fd = openSync(directory, "r");
    const index = await buildIndex(sampleTree());
    const thread = startServingThread({ fd, options: { hidesTrustedFrom: "others" } });
    thread.begin(index, () => {});
    expect(await thread.ended).toMatchObject({ code: "EISDIR" });
  });
});
