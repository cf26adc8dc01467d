import { digestOf } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createUploadSessions } from "../src/index.js";
import type { UploadSessions, UploadSessionsOptions, UploadSink } from "../src/index.js";
import { broken, bytesOf, chunksBehind, chunksOf, createGate, SHA256_OF_NOTHING } from "./fixture.js";

interface Setup {
  readonly sessions: UploadSessions;
  readonly committed: Map<Digest, Uint8Array>;
  open: number;
}

function setUp(options: Partial<UploadSessionsOptions> = {}, sink: Partial<UploadSink> = {}): Setup {
  const committed = new Map<Digest, Uint8Array>();
  const setup: Setup = {
    committed,
    open: 0,
    sessions: createUploadSessions({
      async open() {
        setup.open += 1;
        const chunks: Uint8Array[] = [];
        return {
          write: async (bytes) => void chunks.push(bytes.slice()),
          read: () => chunksOf(...chunks),
          async commit(digest) {
            setup.open -= 1;
            committed.set(digest, Buffer.concat(chunks));
          },
          async discard() {
            setup.open -= 1;
          },
          ...sink,
        };
      },
      ...options,
    }),
  };
  return setup;
}

describe("createUploadSessions()", () => {
  it("commits the bytes of any way of splitting them, under a digest of any algorithm", async () => {
    const chunks = fc.array(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), { maxLength: 4 });
    const algorithms = fc.constantFrom("sha256", "sha384", "sha512");
    await fc.assert(
      fc.asyncProperty(chunks, algorithms, async (appends, algorithm) => {
        const { sessions, committed } = setUp();
        const upload = await sessions.begin("a");
        for (const append of appends) await upload.append(chunksOf(...append), { offset: upload.size });
        const whole = Buffer.concat(appends.flat());
        await upload.commit(digestOf(whole, algorithm));
        expect([...committed.values()]).toEqual([whole]);
      }),
      { numRuns: 50 },
    );
  });

  it("keeps what had come when the source fails", async () => {
    const { sessions, committed } = setUp();
    const upload = await sessions.begin("a");
    await expect(upload.append(broken(bytesOf("ab")), { offset: 0 })).rejects.toThrow("reset");
    expect(upload.size).toBe(2);
    await upload.append(chunksOf(bytesOf("c")), { offset: 2 });
    await upload.commit(digestOf(bytesOf("abc")));
    expect(committed.size).toBe(1);
  });

  it.each(["write", "commit"] as const)("ends an upload whose %s fails", async (call) => {
    const failing = { [call]: () => Promise.reject(new Error("EIO")) };
    const { sessions, ...setup } = setUp({}, failing);
    const upload = await sessions.begin("a");
    const use =
      call === "write" ? upload.append(chunksOf(bytesOf("a")), { offset: 0 }) : upload.commit(SHA256_OF_NOTHING);
    await expect(use).rejects.toThrow("EIO");
    expect(await sessions.find("a", upload.id)).toBeUndefined();
    await expect(upload.abort()).rejects.toMatchObject({ code: "upload_unknown" });
    expect(setup.committed.size).toBe(0);
  });

  it("ends an upload whose digest does not match, and frees it once", async () => {
    const setup = setUp();
    const upload = await setup.sessions.begin("a");
    await expect(upload.commit(digestOf(bytesOf("x")))).rejects.toMatchObject({ code: "digest_mismatch" });
    expect(await setup.sessions.find("a", upload.id)).toBeUndefined();
    expect(setup.open).toBe(0);
  });

  it("refuses one upload more than its limit, also when they begin together, until one ends", async () => {
    const { sessions } = setUp({ maxUploads: 2 });
    const begun = await Promise.allSettled([1, 2, 3].map(() => sessions.begin("a")));
    expect(begun.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect(begun[2]).toMatchObject({ reason: { code: "uploads_exhausted" } });
    if (begun[0]?.status === "fulfilled") await begun[0].value.abort();
    await sessions.begin("a");
  });

  it("discards an upload that nobody has used for long, and no other", async () => {
    let nowMs = 0;
    const setup = setUp({ idleMs: 1000, now: () => nowMs });
    const idle = await setup.sessions.begin("a");
    const used = await setup.sessions.begin("a");
    nowMs = 600;
    await setup.sessions.find("a", used.id);
    nowMs = 1100;
    expect(await setup.sessions.find("a", idle.id)).toBeUndefined();
    expect(await setup.sessions.find("a", used.id)).toBe(used);
    expect(setup.open).toBe(1);
  });

  it("never takes an upload that is in use for idle", async () => {
    let nowMs = 0;
    const { sessions, committed } = setUp({ idleMs: 1000, now: () => nowMs });
    const upload = await sessions.begin("a");
    const gate = createGate();
    const append = upload.append(chunksBehind(gate), { offset: 0 });
    nowMs = 5000;
    expect(await sessions.find("a", upload.id)).toBe(upload);
    gate.open();
    await append;
    await upload.commit(SHA256_OF_NOTHING);
    expect(committed.size).toBe(1);
  });

  it("discards every upload when it is disposed of, one in use at the end of its turn", async () => {
    const setup = setUp();
    await setup.sessions.begin("a");
    const busy = await setup.sessions.begin("a");
    const gate = createGate();
    const append = busy.append(chunksBehind(gate, bytesOf("late")), { offset: 0 });
    const disposed = setup.sessions[Symbol.asyncDispose]();
    expect(setup.open).toBe(2);
    gate.open();
    await Promise.all([append, disposed]);
    expect(setup.open).toBe(0);
    await expect(busy.commit(SHA256_OF_NOTHING)).rejects.toMatchObject({ code: "upload_unknown" });
  });

  it("rejects every call with the reason of an aborted signal before it does anything", async () => {
    const setup = setUp();
    const upload = await setup.sessions.begin("a");
    const signal = AbortSignal.abort(new Error("gone"));
    const calls = [
      setup.sessions.begin("a", { signal }),
      setup.sessions.find("a", upload.id, { signal }),
      upload.append(chunksOf(bytesOf("a")), { offset: 0, signal }),
      upload.commit(SHA256_OF_NOTHING, { signal }),
      upload.abort({ signal }),
    ];
    for (const call of calls) await expect(call).rejects.toBe(signal.reason);
    expect([setup.open, upload.size]).toEqual([1, 0]);
  });

  it("lets an upload go on whose commit was aborted while it was read again", async () => {
    const controller = new AbortController();
    const bytes = bytesOf("abc");
    let reads = 0;
    const { sessions } = setUp(
      {},
      {
        async *read() {
          yield bytes;
          if (reads++ === 0) controller.abort(new Error("gone"));
          yield new Uint8Array();
        },
      },
    );
    const upload = await sessions.begin("a");
    await upload.append(chunksOf(bytes), { offset: 0 });
    const digest = digestOf(bytes, "sha512");
    await expect(upload.commit(digest, { signal: controller.signal })).rejects.toThrow("gone");
    await upload.commit(digest);
  });
});
