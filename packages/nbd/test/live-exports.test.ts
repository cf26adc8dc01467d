import { describe, expect, it } from "vitest";

import type { BlockSource } from "../src/index.js";
import { ask, greet, infoData, option, rawClient, readyClient, request, takeSimple } from "./raw-client.js";
import { serving } from "./serving.js";
import { hangingSource, patternSource } from "./sources.js";

const first = patternSource(5000);
const second = patternSource(7000);
const code = (code: string): unknown => expect.objectContaining({ name: "NbdError", code });

function exportsOf(name: string, source: BlockSource): ReadonlyMap<string, BlockSource> {
  return new Map([[name, source]]);
}

describe("a server whose disks come and go", () => {
  it("serves a disk that is added to clients that ask for it afterwards", () =>
    serving(exportsOf("first", first), {}, async (server) => {
      await expect(readyClient(server.address, { name: "second" })).rejects.toThrow("no such disk");
      server.add("second", second);
      using client = await readyClient(server.address, { name: "second" });
      client.send(request({ offset: 6000, length: 4 }));
      expect((await takeSimple(client, () => 4)).data).toEqual(second.whole.subarray(6000, 6004));
      expect([server.connectionsOf("first"), server.connectionsOf("second"), server.connectionsOf("none")]).toEqual([
        0, 1, 0,
      ]);
    }));

  it("cuts off the clients of a disk that is removed, and no others", () =>
    serving(
      new Map([
        ["first", first],
        ["second", second],
      ]),
      {},
      async (server) => {
        using gone = await readyClient(server.address, { name: "first" });
        using staying = await readyClient(server.address, { name: "second" });
        expect(await server.remove("first")).toBe(true);
        expect(await gone.end()).toEqual(Buffer.alloc(0));
        staying.send(request({ length: 4 }));
        expect((await takeSimple(staying, () => 4)).data).toEqual(second.whole.subarray(0, 4));
        await expect(readyClient(server.address, { name: "first" })).rejects.toThrow("no such disk");
        expect(await server.remove("first")).toBe(false);
      },
    ));

  it("tells the reads of a disk that is removed to end before it has resolved", async () => {
    const { source, started, signals } = watchedSource();
    await serving(exportsOf("", source), {}, async (server) => {
      using client = await readyClient(server.address);
      client.send(request({ length: 4 }));
      await started;
      await server.remove("");
      expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
      expect(server.connections).toBe(0);
    });
  });

  it("hangs up on a client that chooses a disk while it is removed", () =>
    serving(exportsOf("first", first), {}, async (server) => {
      using client = await rawClient(server.address);
      await greet(client);
      await ask(client, 6, infoData("first"));
      client.send(option(7, infoData("first")));
      await server.remove("first");
      // whichever came first, nothing is read any more
      client.send(request({ length: 4 }));
      client.socket.end();
      expect((await client.end()).includes(first.whole.subarray(0, 4))).toBe(false);
    }));

  it("gives a name to one disk only, also when that is another one after a removal", () =>
    serving(exportsOf("disk", first), {}, async (server) => {
      expect(() => server.add("disk", second)).toThrow(code("option_invalid"));
      expect(() => server.add("x".repeat(5000), second)).toThrow(code("option_invalid"));
      await server.remove("disk");
      server.add("disk", second);
      using client = await readyClient(server.address, { name: "disk" });
      client.send(request({ offset: 6000, length: 4 }));
      expect((await takeSimple(client, () => 4)).data).toEqual(second.whole.subarray(6000, 6004));
    }));
});

function watchedSource(): { source: BlockSource; started: Promise<void>; signals: AbortSignal[] } {
  const signals: AbortSignal[] = [];
  const hanging = hangingSource(4096);
  let tell = (): void => {};
  const started = new Promise<void>((resolve) => (tell = resolve));
  const source: BlockSource = {
    sizeBytes: 4096,
    read(offset, length, options) {
      if (options?.signal !== undefined) signals.push(options.signal);
      tell();
      return hanging.read(offset, length, options);
    },
  };
  return { source, started, signals };
}
