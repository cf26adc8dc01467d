import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { writeLayer } from "@lamella/layer-format/node";
import { type Digest, digestOf } from "@lamella/refs";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";

import { layerTar } from "../src/conformance/layer-tar.js";
import { baseKey, type BuildCache, deriveKey, runOpKey } from "../src/index.js";
import { openBuildCache } from "../src/node/index.js";
import { temporaryDirectory } from "./temporary.js";

const key = (number: number): Digest => digestOf(new TextEncoder().encode(`key ${number}`));

async function open(directory: string): Promise<BuildCache> {
  const cache = await openBuildCache(directory);
  onTestFinished(() => cache[Symbol.asyncDispose]());
  return cache;
}

interface Archives {
  readonly diffIDs: readonly Digest[];
  archive(diffID: Digest): Promise<string | undefined>;
}

/** Archives of layers with a file each. */
async function makeArchives(count: number): Promise<Archives> {
  const directory = await temporaryDirectory();
  const places = new Map<Digest, string>();
  for (let number = 0; number < count; number++) {
    const place = join(directory, String(number));
    const tar = await layerTar([{ path: `file-${number}`, content: `content ${number}` }]);
    places.set((await writeLayer(place, once(tar))).diffID, place);
  }
  return { diffIDs: [...places.keys()], archive: async (diffID) => places.get(diffID) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function keys(cache: BuildCache): Promise<Digest[]> {
  const found: Digest[] = [];
  for await (const snapshot of cache.list()) found.push(snapshot.key);
  return found;
}

describe("openBuildCache()", () => {
  it("saves, loads, lists, tells and deletes snapshots by key", async () => {
    const cache = await open(await temporaryDirectory());
    const { diffIDs, archive } = await makeArchives(2);
    const config = { Env: ["A=1"], nested: { list: [1, null, true] } };
    await cache.save(key(1), { layers: diffIDs, config }, { archive });
    await cache.save(key(2), { layers: [] });

    expect(await cache.load(key(1))).toEqual({ key: key(1), layers: diffIDs, config, savedAt: expect.any(Date) });
    expect(await cache.load(key(2))).toEqual({ key: key(2), layers: [], savedAt: expect.any(Date) });
    expect(await keys(cache)).toEqual([key(1), key(2)]);
    expect([await cache.exists(key(1)), await cache.exists(key(3))]).toEqual([true, false]);
    await cache.delete(key(1));
    await cache.delete(key(1));
    await expect(cache.load(key(1))).rejects.toMatchObject({ code: "not_found" });
    expect(await keys(cache)).toEqual([key(2)]);
  });

  it("shows the file system of a key", async () => {
    const cache = await open(await temporaryDirectory());
    const { diffIDs, archive } = await makeArchives(2);
    await cache.save(key(1), { layers: diffIDs }, { archive });
    await using tree = await cache.openTree(key(1));
    const paths: string[] = [];
    for await (const { path } of tree.entries()) paths.push(path);
    expect(paths).toEqual(["", "file-0", "file-1"]);
  });

  it("asks for the archives of new layers only, and keeps each layer once", async () => {
    const directory = await temporaryDirectory();
    const cache = await open(directory);
    const { diffIDs, archive } = await makeArchives(2);
    const asked: Digest[] = [];
    const telling = { archive: (diffID: Digest) => (asked.push(diffID), archive(diffID)) };
    await cache.save(key(1), { layers: [diffIDs[0]!, diffIDs[0]!] }, telling);
    await cache.save(key(2), { layers: diffIDs }, telling);
    await cache.save(key(2), { layers: diffIDs.toReversed() }, telling);
    expect(asked).toEqual(diffIDs);
    expect(await readdir(join(directory, "layers"))).toHaveLength(2);
  });

  it("keeps a layer for as long as a snapshot names it", async () => {
    const directory = await temporaryDirectory();
    const cache = await open(directory);
    const { diffIDs, archive } = await makeArchives(2);
    const [shared, own] = diffIDs as [Digest, Digest];
    await cache.save(key(1), { layers: [shared] }, { archive });
    await cache.save(key(2), { layers: [shared, own] }, { archive });

    await cache.delete(key(1));
    expect(await cache.archive(shared)).toBeDefined();
    await cache.save(key(2), { layers: [own] });
    expect(await cache.archive(shared)).toBeUndefined();
    await expect(cache.openLayer(shared)).rejects.toMatchObject({ code: "not_found" });
    await cache.delete(key(2));
    expect(await readdir(join(directory, "layers"))).toEqual([]);
  });

  it("counts references as the snapshots that are there do, whatever is saved and deleted", async () => {
    const { diffIDs, archive } = await makeArchives(4);
    const directory = await temporaryDirectory();
    const cache = await open(directory);
    const step = fc.record({ number: fc.nat(3), layers: fc.option(fc.subarray([...diffIDs])) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        for await (const snapshot of cache.list()) await cache.delete(snapshot.key);
        const expected = new Map<number, readonly Digest[]>();
        for (const { number, layers } of steps) {
          if (layers === null) {
            await cache.delete(key(number));
            expected.delete(number);
          } else {
            await cache.save(key(number), { layers }, { archive });
            expected.set(number, layers);
          }
        }
        const named = new Set([...expected.values()].flat());
        for (const diffID of diffIDs) {
          expect((await cache.archive(diffID)) !== undefined).toBe(named.has(diffID));
        }
        expect(await readdir(join(directory, "layers"))).toHaveLength(named.size);
      }),
      { numRuns: 10 },
    );
  });

  it("finds the longest prefix of a chain of operations", async () => {
    const cache = await open(await temporaryDirectory());
    const base = baseKey({ digest: key(0), platform: { os: "linux", architecture: "amd64" } });
    const chain = [base];
    for (const command of ["one", "two", "three"]) {
      chain.push(deriveKey(chain.at(-1) as Digest, runOpKey({ command: [command] })));
    }
    expect(await cache.longestPrefix(chain)).toBeUndefined();
    expect(await cache.longestPrefix([])).toBeUndefined();
    await cache.save(chain[0]!, { layers: [], config: "base" });
    await cache.save(chain[2]!, { layers: [], config: "two" });
    expect(await cache.longestPrefix(chain)).toMatchObject({ index: 2, key: chain[2], config: "two" });
    expect(await cache.longestPrefix(chain.slice(0, 2))).toMatchObject({ index: 0, config: "base" });
    const long = [...chain, ...Array.from({ length: 40_000 }, (_, number) => key(number))];
    expect(await cache.longestPrefix(long)).toMatchObject({ index: 2 });
  });

  it("saves nothing of a snapshot with a layer that is not there, or is another one", async () => {
    const directory = await temporaryDirectory();
    const cache = await open(directory);
    const { diffIDs, archive } = await makeArchives(2);
    const [one, other] = diffIDs as [Digest, Digest];
    const lacking = cache.save(key(1), { layers: [one, key(9)] }, { archive });
    await expect(lacking).rejects.toMatchObject({ code: "not_found" });
    const swapped = cache.save(key(1), { layers: [one] }, { archive: async () => archive(other) });
    await expect(swapped).rejects.toMatchObject({ code: "layer_mismatch" });
    expect(await keys(cache)).toEqual([]);
    expect(await readdir(join(directory, "layers"))).toEqual([]);
  });

  it("refuses a config that is not JSON", async () => {
    const cache = await open(await temporaryDirectory());
    const circular: unknown[] = [];
    circular.push(circular);
    for (const config of [circular, () => undefined, 1n]) {
      await expect(cache.save(key(1), { layers: [], config })).rejects.toMatchObject({ code: "invalid_argument" });
    }
  });

  it("lets an open layer be read to its end, whatever is deleted", async () => {
    const cache = await open(await temporaryDirectory());
    const { diffIDs, archive } = await makeArchives(1);
    await cache.save(key(1), { layers: diffIDs }, { archive });
    await using layer = await cache.openLayer(diffIDs[0]!);
    await cache.delete(key(1));
    const chunks: Uint8Array[] = [];
    for await (const chunk of layer.readContents(0, 9)) chunks.push(Uint8Array.from(chunk));
    expect(Buffer.concat(chunks).toString()).toBe("content 0");
  });

  it("cleans up what nobody names, and nothing of what is on its way", async () => {
    const directory = await temporaryDirectory();
    const cache = await open(directory);
    const { diffIDs, archive } = await makeArchives(1);
    await mkdir(join(directory, "layers", "left-over"));
    let cleaned: Promise<void> | undefined;
    const saving = cache.save(
      key(1),
      { layers: diffIDs },
      {
        async archive(diffID) {
          cleaned = cache.cleanup();
          await cleaned;
          return archive(diffID);
        },
      },
    );
    await saving;
    await cache.cleanup();
    expect(cleaned).toBeDefined();
    expect(await readdir(join(directory, "layers"))).toHaveLength(1);
    await using _ = await cache.openTree(key(1));
  });

  it("says that a layer is damaged", async () => {
    const cache = await open(await temporaryDirectory());
    const { diffIDs, archive } = await makeArchives(1);
    await cache.save(key(1), { layers: diffIDs }, { archive });
    await rm(join((await cache.archive(diffIDs[0]!)) as string, "contents"));
    await expect(cache.openTree(key(1))).rejects.toMatchObject({ code: "archive_invalid" });
  });

  it("stops when it is told to", async () => {
    const cache = await open(await temporaryDirectory());
    const enough = new Error("enough");
    const options = { signal: AbortSignal.abort(enough) };
    const calls: (() => Promise<unknown>)[] = [
      () => openBuildCache("/nonexistent/cache", options),
      () => cache.save(key(1), { layers: [] }, options),
      () => cache.load(key(1), options),
      () => cache.exists(key(1), options),
      () => cache.delete(key(1), options),
      () => cache.longestPrefix([key(1)], options),
      () => cache.archive(key(1), options),
      () => cache.openLayer(key(1), options),
      () => cache.openTree(key(1), options),
      () => cache.cleanup(options),
      async () => cache.list(options)[Symbol.asyncIterator]().next(),
    ];
    for (const call of calls) await expect(call()).rejects.toBe(enough);
  });
});
