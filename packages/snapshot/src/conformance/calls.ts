import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { collect, expectCode } from "./expectations.js";
import { inPieces, layerTar } from "./layer-tar.js";
import { type ConformanceGroup, withSnapshotter } from "./suite.js";

/** What all calls have in common, and what several of them do to each other. */
export function callTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("calls", () => {
    it(
      "whose signal is aborted reject with its reason, and have done nothing",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("base");
        await snapshotter.commit("committed", "base");
        await snapshotter.prepare("active");
        const before = await collect(snapshotter.walk());
        const reason = new Error("no longer wanted");
        const options = { signal: AbortSignal.abort(reason) };
        const calls = [
          snapshotter.prepare("new", "committed", options),
          snapshotter.view("new", "committed", options),
          snapshotter.commit("new", "active", options),
          snapshotter.mounts("active", options),
          snapshotter.stat("active", options),
          snapshotter.update("active", { labels: { a: "1" } }, [], options),
          snapshotter.usage("active", options),
          collect(snapshotter.walk(options)),
          snapshotter.remove("active", options),
          snapshotter.cleanup(options),
          snapshotter.openTree("active", options),
          snapshotter.apply("active", inPieces(new Uint8Array()), options),
          snapshotter.exclusively("name", () => Promise.resolve(), options),
        ];
        for (const [index, result] of (await Promise.allSettled(calls)).entries()) {
          assert.ok(result.status === "rejected" && result.reason === reason, `call ${index}`);
        }
        assert.deepEqual(await collect(snapshotter.walk()), before);
      }),
    );

    it(
      "for one key at once give it to one of them",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("base");
        await snapshotter.commit("committed", "base");
        const calls = Array.from({ length: 8 }, (_, index) =>
          index % 2 === 0 ? snapshotter.prepare("key", "committed") : snapshotter.view("key", "committed"),
        );
        const results = await Promise.allSettled(calls);
        assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
        for (const result of results)
          if (result.status === "rejected") await expectCode(Promise.reject(result.reason), "already_exists");
      }),
    );

    it(
      "for one name at once give it to one of several keys, and leave the others active",
      withSnapshotter(group, async ({ snapshotter }) => {
        const keys = ["a", "b", "c", "d"];
        for (const key of keys) await snapshotter.prepare(key);
        const results = await Promise.allSettled(keys.map((key) => snapshotter.commit("name", key)));
        assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
        const kinds = (await collect(snapshotter.walk())).map(({ kind }) => kind);
        assert.deepEqual(kinds.toSorted(), ["active", "active", "active", "committed"]);
      }),
    );

    it(
      "never remove a parent under a child",
      withSnapshotter(group, async ({ snapshotter }) => {
        for (let round = 0; round < 10; round++) {
          await snapshotter.prepare("temporary");
          await snapshotter.apply("temporary", inPieces(await layerTar([{ path: "file", content: "content" }])));
          await snapshotter.commit("parent", "temporary");
          const [child, removal] = await Promise.allSettled([
            snapshotter.prepare("child", "parent"),
            snapshotter.remove("parent"),
          ]);
          assert.notEqual(child.status, removal.status);
          if (child.status === "rejected") continue;
          await using tree = await snapshotter.openTree("child");
          assert.equal((await tree.lookup("file"))?.size, 7);
          await snapshotter.remove("child");
          await snapshotter.remove("parent");
        }
      }),
    );

    it(
      "of cleanup leave everything that is there as it is",
      withSnapshotter(group, async ({ snapshotter }) => {
        const tar = await layerTar([{ path: "file", content: "content" }]);
        let parent: string | undefined;
        const cleaning = (async () => {
          for (let round = 0; round < 10; round++) await snapshotter.cleanup();
        })();
        for (let layer = 0; layer < 5; layer++) {
          await snapshotter.prepare("key", parent);
          await snapshotter.apply("key", inPieces(tar));
          await snapshotter.commit(`layer ${layer}`, "key");
          parent = `layer ${layer}`;
        }
        await cleaning;
        await snapshotter.cleanup();
        await using tree = await snapshotter.openTree(parent ?? "");
        assert.equal((await tree.lookup("file"))?.size, 7);
        assert.equal((await collect(snapshotter.walk())).length, 5);
      }),
    );

    it(
      "to exclusively follow each other under one name, and not under others",
      withSnapshotter(group, async ({ snapshotter }) => {
        let running = 0;
        const work = async (): Promise<number> => {
          running++;
          assert.equal(running, 1);
          await sleep(5);
          return running--;
        };
        const results = await Promise.all(Array.from({ length: 3 }, () => snapshotter.exclusively("name", work)));
        assert.deepEqual(results, [1, 1, 1]);

        const failed = new Error("failed");
        await assert.rejects(
          snapshotter.exclusively("name", () => Promise.reject(failed)),
          failed,
        );
        await snapshotter.exclusively("name", async () => {
          await snapshotter.exclusively("other", work);
          const abort = new AbortController();
          const waiting = snapshotter.exclusively("name", work, { signal: abort.signal });
          abort.abort(failed);
          await assert.rejects(waiting, failed);
        });
      }),
    );
  });
}
