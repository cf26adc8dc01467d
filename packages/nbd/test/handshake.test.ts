import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { ask, contextData, greet, infoData, option, rawClient, request, u32 } from "./raw-client.js";
import type { RawClient } from "./raw-client.js";
import { serving } from "./serving.js";
import { patternSource } from "./sources.js";

const ACK = 1;
const INVALID = 0x80000003;
const UNKNOWN = 0x80000006;
const UNSUPPORTED = 0x80000001;
const TOO_BIG = 0x80000009;

const source = patternSource(123_456);
const disks = new Map([
  ["", source],
  ["größe", patternSource(1)],
]);

/** With a client that has greeted. */
async function greeted(use: (client: RawClient) => Promise<void>, flags?: number): Promise<void> {
  await serving(disks, {}, async (server) => {
    using client = await rawClient(server.address);
    await greet(client, flags);
    await use(client);
  });
}

const types = (replies: readonly { type: number }[]): number[] => replies.map(({ type }) => type);

describe("the handshake", () => {
  it("greets as fixed newstyle, without zeroes", () =>
    serving(source, {}, async (server) => {
      using client = await rawClient(server.address);
      expect((await client.take(18)).toString("latin1")).toBe("NBDMAGICIHAVEOPT\0\x03");
    }));

  it("NBD_OPT_GO tells size and flags, and what else was asked for", () =>
    greeted(async (client) => {
      const replies = await ask(client, 7, infoData("größe", 1, 3, 77));
      expect(types(replies)).toEqual([3, 3, 3, ACK]);
      const [export_, name, blockSize] = replies;
      expect(export_!.data.toString("hex")).toBe("000000000000000000010503");
      expect(name!.data.subarray(2).toString()).toBe("größe");
      expect(blockSize!.data.toString("hex")).toBe("0003000000010000100002000000");
    }));

  it("says that reads can be asked for unfragmented only where replies are structured", () =>
    greeted(async (client) => {
      const flags = async (): Promise<number> => (await ask(client, 6, infoData("")))[0]!.data.readUInt16BE(10);
      expect(await flags()).toBe(0x503);
      expect(types(await ask(client, 8))).toEqual([ACK]);
      expect(await flags()).toBe(0x583);
    }));

  it.each([
    [3, 10],
    [1, 134],
  ])("NBD_OPT_EXPORT_NAME with client flags %i is answered by %i bytes", (flags, length) =>
    greeted(async (client) => {
      client.send(option(1));
      const answer = await client.take(length);
      expect(Number(answer.readBigUInt64BE(0))).toBe(source.sizeBytes);
      expect(answer.readUInt16BE(8)).toBe(0x503);
      expect(answer.subarray(10).every((byte) => byte === 0)).toBe(true);
      client.send(request({ type: 2 }));
      expect(await client.end()).toHaveLength(0);
    }, flags),
  );

  it("NBD_OPT_EXPORT_NAME for what is not there ends the session", () =>
    greeted(async (client) => {
      client.send(option(1, Buffer.from("other")));
      expect(await client.end()).toHaveLength(0);
    }));

  it("NBD_OPT_LIST names all disks", () =>
    greeted(async (client) => {
      const replies = await ask(client, 3);
      expect(types(replies)).toEqual([2, 2, ACK]);
      expect(replies.map(({ data }) => data.subarray(4).toString()).slice(0, 2)).toEqual(["", "größe"]);
    }));

  it("NBD_OPT_ABORT is acknowledged, then the server hangs up", () =>
    greeted(async (client) => {
      expect(types(await ask(client, 2, Buffer.from("bye")))).toEqual([ACK]);
      expect(await client.end()).toHaveLength(0);
    }));

  it.each([
    ["NBD_OPT_STARTTLS", 5, Buffer.alloc(0), UNSUPPORTED],
    ["one that nobody knows", 4711, Buffer.from("data"), UNSUPPORTED],
    ["NBD_OPT_LIST with data", 3, Buffer.from("x"), INVALID],
    ["NBD_OPT_STRUCTURED_REPLY with data", 8, Buffer.from("x"), INVALID],
    ["NBD_OPT_GO without a body", 7, Buffer.alloc(0), INVALID],
    ["NBD_OPT_GO whose name is longer than the option", 7, Buffer.concat([u32(100), Buffer.alloc(10)]), INVALID],
    ["NBD_OPT_GO with fewer requests than it says", 7, infoData("").fill(9, 4), INVALID],
    ["NBD_OPT_GO with a name that is not UTF-8", 7, Buffer.from("00000001ff0000", "hex"), INVALID],
    ["NBD_OPT_GO with a name of over 4,096 bytes", 7, infoData("x".repeat(4097)), INVALID],
    ["NBD_OPT_GO for another disk", 7, infoData("other"), UNKNOWN],
    ["NBD_OPT_SET_META_CONTEXT before structured replies", 10, contextData("", "base:allocation"), INVALID],
    ["an option with over 64 KiB", 4711, Buffer.alloc(70_000), TOO_BIG],
  ])("%s is refused, and the handshake goes on", (_, type, data, reply) =>
    greeted(async (client) => {
      expect(types(await ask(client, type, data))).toEqual([reply]);
      expect(types(await ask(client, 7, infoData("")))).toEqual([3, ACK]);
    }),
  );

  it("metadata contexts: what there is, and what a query selects", () =>
    greeted(async (client) => {
      await ask(client, 8);
      const query = async (type: number, name: string, ...queries: string[]): Promise<string[]> => {
        const replies = await ask(client, type, contextData(name, ...queries));
        const contexts = replies
          .slice(0, -1)
          .map(({ data }) => `${data.readUInt32BE(0)} ${data.subarray(4).toString()}`);
        return [...contexts, replies.at(-1)!.type === ACK ? "ack" : "error"];
      };
      expect(await query(9, "")).toEqual(["0 base:allocation", "ack"]);
      expect(await query(9, "", "base:")).toEqual(["0 base:allocation", "ack"]);
      expect(await query(9, "", "qemu:", "base:allocation")).toEqual(["0 base:allocation", "ack"]);
      expect(await query(9, "", "qemu:dirty-bitmap:x")).toEqual(["ack"]);
      expect(await query(10, "")).toEqual(["ack"]);
      expect(await query(10, "", "base:")).toEqual(["ack"]);
      expect(await query(10, "", "base:allocation")).toEqual(["1 base:allocation", "ack"]);
      expect(await query(10, "other", "base:allocation")).toEqual(["error"]);
      const cut = contextData("", "base:allocation").subarray(0, -1);
      expect(types(await ask(client, 10, cut))).toEqual([INVALID]);
    }));

  it("survives any data of any option: a reply, or the end", () =>
    serving(disks, {}, async (server) => {
      const options = fc.array(fc.tuple(fc.nat(12), fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(options, async (list) => {
          using client = await rawClient(server.address);
          await greet(client);
          for (const [type, data] of list) {
            if (type === 1 || type === 2) continue;
            const last = (await ask(client, type, data)).at(-1)!;
            if (type === 7 && last.type === ACK) break;
          }
        }),
        { numRuns: 60 },
      );
      using client = await rawClient(server.address);
      await greet(client);
      expect(types(await ask(client, 7, infoData("")))).toEqual([3, ACK]);
      expect(server.stats().droppedClients).toBe(0);
    }));
});
