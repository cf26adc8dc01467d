import assert from "node:assert/strict";
import { stat } from "node:fs/promises";

import { collect, commitChange, expectChain, expectCode, expectShows, flatDirectory } from "./expectations.js";
import { changes, directory, file, removed } from "./file-changes.js";
import { type ConformanceGroup, withSnapshotter } from "./suite.js";

const FIRST = changes(file("foo", "foo\n", 0o777), directory("a/b/c"));
const SECOND = changes(file("bar", "bar\n", 0o777), file("foo", "bar\n", 0o777), removed("a/b"));

export function lifecycleTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("the life of a snapshot", () => {
    it(
      "goes from active to committed, and on to be a parent",
      withSnapshotter(group, async (test) => {
        const { snapshotter, mounted } = test;
        const mounts = await snapshotter.prepare("/preparing", undefined, { labels: { keep: "1" } });
        assert.ok(mounts.length > 0);
        await mounted(mounts, FIRST);
        await snapshotter.commit("/committed", "/preparing");
        const first = await snapshotter.stat("/committed");
        assert.deepEqual([first.kind, first.parent], ["committed", undefined]);
        await expectCode(snapshotter.stat("/preparing"), "not_found");

        await mounted(await snapshotter.prepare("/next", "/committed"), SECOND);
        const active = await snapshotter.stat("/next");
        assert.deepEqual([active.kind, active.parent], ["active", "/committed"]);
        await snapshotter.commit("/committed-next", "/next");
        const second = await snapshotter.stat("/committed-next");
        assert.deepEqual([second.kind, second.parent], ["committed", "/committed"]);
        await expectCode(snapshotter.stat("/next"), "not_found");
        assert.deepEqual(await collect(snapshotter.walk()), [first, second]);

        await snapshotter.view("/view", "/committed-next");
        await expectCode(snapshotter.remove("/committed"), "failed_precondition");
        await expectCode(snapshotter.remove("/committed-next"), "failed_precondition");
        await snapshotter.remove("/view");
        await snapshotter.remove("/committed-next");
        await snapshotter.remove("/committed");
      }),
    );

    it(
      "shows the changes of each on those of its parent",
      withSnapshotter(group, (test) => expectChain(test, [FIRST, SECOND, changes()])),
    );

    it(
      "tells of an active snapshot that it is one",
      withSnapshotter(group, async ({ snapshotter, mounted }) => {
        await mounted(await snapshotter.prepare("preparing"), file("foo", "foo\n"));
        const info = await snapshotter.stat("preparing");
        assert.deepEqual([info.name, info.kind, info.parent], ["preparing", "active", undefined]);
      }),
    );

    it(
      "tells of a committed snapshot that it is one",
      withSnapshotter(group, async (test) => {
        await commitChange(test, "committed", { change: file("foo", "foo\n") });
        const info = await test.snapshotter.stat("committed");
        assert.deepEqual([info.name, info.kind, info.parent], ["committed", "committed", undefined]);
      }),
    );

    it(
      "leads from a snapshot over its parent to its grandparent",
      withSnapshotter(group, async (test) => {
        const { snapshotter } = test;
        await commitChange(test, "a", { change: file("foo", "foo\n") });
        await commitChange(test, "b", { parent: "a", change: file("foo", "foo bar\n") });
        assert.equal((await snapshotter.stat("b")).parent, "a");
        assert.equal((await snapshotter.stat("a")).parent, undefined);
      }),
    );

    it(
      "keeps a parent as it was when a child changes",
      withSnapshotter(group, async (test) => {
        const { snapshotter, mounted } = test;
        await commitChange(test, "a", { change: FIRST });
        await mounted(await snapshotter.prepare("b", "a"), SECOND);
        await expectShows(test, "a", await flatDirectory(test, FIRST));
      }),
    );

    it(
      "gives a root of mode 0755 to a snapshot on nothing",
      withSnapshotter(group, async ({ snapshotter, mounted }) => {
        const bits = await mounted(await snapshotter.prepare("key"), async (root) => (await stat(root)).mode & 0o7777);
        assert.equal(bits, 0o755);
      }),
    );

    it(
      "refuses to write through the mounts of a view",
      withSnapshotter(group, async ({ snapshotter, mounted }) => {
        await snapshotter.prepare("preparing");
        await snapshotter.commit("committed", "preparing");
        for (const parent of ["committed", undefined]) {
          const mounts = await snapshotter.view("view", parent);
          const writing = mounted(mounts, file("written", "content"));
          // What is checked out is an ordinary directory: there it is enough that nothing comes of it.
          if (mounts.at(-1)?.type === "checkout") await writing.catch(() => undefined);
          else await assert.rejects(writing, { code: "EROFS" });
          await using tree = await snapshotter.openTree("view");
          assert.equal(await tree.lookup("written"), undefined);
          await snapshotter.remove("view");
        }
      }),
    );

    it(
      "ends when the snapshotter is closed, which can be done twice",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("key");
        await snapshotter.commit("name", "key");
        await snapshotter.remove("name");
        await snapshotter[Symbol.asyncDispose]();
        await snapshotter[Symbol.asyncDispose]();
        await assert.rejects(snapshotter.stat("name"));
      }),
    );
  });
}
