import assert from "node:assert/strict";

import type { SnapshotInfo, SnapshotKind, Snapshotter } from "../snapshotter.js";
import { collect, commitChange, expectCode } from "./expectations.js";
import { file } from "./file-changes.js";
import { type ConformanceGroup, withSnapshotter } from "./suite.js";

const POPULATION: readonly (readonly [name: string, kind: SnapshotKind, parent: string | undefined])[] = [
  ["active-1", "active", undefined],
  ["active-2", "active", "committed-1"],
  ["active-3", "active", "committed-2"],
  ["committed-1", "committed", undefined],
  ["committed-2", "committed", "committed-1"],
  ["view-1", "view", undefined],
  ["view-2", "view", "committed-2"],
];

async function populate(snapshotter: Snapshotter): Promise<void> {
  await snapshotter.prepare("temporary-1");
  await snapshotter.commit("committed-1", "temporary-1");
  await snapshotter.prepare("temporary-2", "committed-1");
  await snapshotter.commit("committed-2", "temporary-2");
  for (const [name, kind, parent] of POPULATION) {
    if (kind === "active") await snapshotter.prepare(name, parent);
    if (kind === "view") await snapshotter.view(name, parent);
  }
}

/** What the records of snapshots say, and which changes of them are refused. */
export function recordTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("the records of snapshots", () => {
    it(
      "say of each its kind, name, parent and times",
      withSnapshotter(group, async ({ snapshotter }) => {
        const before = Date.now();
        await populate(snapshotter);
        const after = Date.now();
        for (const [name, kind, parent] of POPULATION) {
          const info = await snapshotter.stat(name);
          assert.deepEqual([info.name, info.kind, info.parent, info.labels], [name, kind, parent, {}]);
          assert.ok(info.createdAt.getTime() >= before && info.createdAt.getTime() <= after, name);
          assert.deepEqual(info.updatedAt, info.createdAt);
        }
      }),
    );

    it(
      "do not know a name that was never used, whether there are others or not",
      withSnapshotter(group, async ({ snapshotter }) => {
        for (const fill of [() => Promise.resolve(), () => populate(snapshotter)]) {
          await fill();
          await expectCode(snapshotter.stat("none"), "not_found");
          await expectCode(snapshotter.mounts("none"), "not_found");
          await expectCode(snapshotter.usage("none"), "not_found");
          await expectCode(snapshotter.update("none", { labels: {} }), "not_found");
          await expectCode(snapshotter.openTree("none"), "not_found");
          await expectCode(snapshotter.remove("none"), "not_found");
          await expectCode(snapshotter.commit("name", "none"), "not_found");
        }
      }),
    );

    it(
      "are walked once each, in the order of names",
      withSnapshotter(group, async ({ snapshotter }) => {
        assert.deepEqual(await collect(snapshotter.walk()), []);
        await populate(snapshotter);
        const infos = await collect(snapshotter.walk());
        assert.deepEqual(
          infos.map(({ name, kind, parent }) => [name, kind, parent]),
          POPULATION,
        );
      }),
    );

    it(
      "give the same mounts again as they gave first",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("temporary");
        await snapshotter.commit("committed", "temporary");
        for (const parent of [undefined, "committed"]) {
          const active = await snapshotter.prepare("active", parent);
          assert.deepEqual(await snapshotter.mounts("active"), active);
          const view = await snapshotter.view("view", parent);
          assert.deepEqual(await snapshotter.mounts("view"), view);
          assert.notDeepEqual(active, view);
          await snapshotter.remove("active");
          await snapshotter.remove("view");
        }
      }),
    );

    it(
      "have no mounts of a committed snapshot",
      withSnapshotter(group, async ({ snapshotter }) => {
        await populate(snapshotter);
        await expectCode(snapshotter.mounts("committed-1"), "failed_precondition");
      }),
    );

    it(
      "give each new snapshot a place of its own",
      withSnapshotter(group, async ({ snapshotter }) => {
        const mounts = [
          await snapshotter.prepare("a"),
          await snapshotter.prepare("b"),
          await snapshotter.view("c"),
          await snapshotter.view("d"),
        ];
        assert.equal(new Set(mounts.map((list) => JSON.stringify(list))).size, mounts.length);
      }),
    );

    it(
      "refuse a key or name that is taken, whatever by",
      withSnapshotter(group, async ({ snapshotter }) => {
        await populate(snapshotter);
        for (const [name] of POPULATION) {
          await expectCode(snapshotter.prepare(name), "already_exists");
          await expectCode(snapshotter.prepare(name, "committed-1"), "already_exists");
          await expectCode(snapshotter.view(name, "committed-1"), "already_exists");
          await expectCode(snapshotter.commit(name, "active-1"), "already_exists");
        }
        assert.equal((await snapshotter.stat("active-1")).kind, "active");
      }),
    );

    it(
      "refuse a parent that is not there, and one that is not committed",
      withSnapshotter(group, async ({ snapshotter }) => {
        await populate(snapshotter);
        for (const make of [snapshotter.prepare, snapshotter.view].map((method) => method.bind(snapshotter))) {
          await expectCode(make("new", "none"), "not_found");
          await expectCode(make("new", "active-1"), "invalid_argument");
          await expectCode(make("new", "view-1"), "invalid_argument");
        }
        await expectCode(snapshotter.stat("new"), "not_found");
      }),
    );

    it(
      "take an empty parent for none, and refuse an empty key",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("key", "");
        assert.equal((await snapshotter.stat("key")).parent, undefined);
        await expectCode(snapshotter.prepare(""), "invalid_argument");
        await expectCode(snapshotter.view(""), "invalid_argument");
        await expectCode(snapshotter.commit("", "key"), "invalid_argument");
      }),
    );

    it(
      "let a key go when it is committed",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("key");
        await snapshotter.commit("name", "key");
        await expectCode(snapshotter.mounts("key"), "not_found");
        await expectCode(snapshotter.commit("other", "key"), "not_found");
        await snapshotter.prepare("key", "name");
      }),
    );

    it(
      "refuse to commit what is committed, or a view",
      withSnapshotter(group, async ({ snapshotter }) => {
        await populate(snapshotter);
        await expectCode(snapshotter.commit("new", "committed-1"), "failed_precondition");
        await expectCode(snapshotter.commit("new", "view-1"), "failed_precondition");
        await expectCode(snapshotter.stat("new"), "not_found");
      }),
    );

    it(
      "have of a committed snapshot the labels of its commit, and no others",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("key", undefined, { labels: { a: "1", b: "2", empty: "" } });
        assert.deepEqual((await snapshotter.stat("key")).labels, { a: "1", b: "2" });
        await snapshotter.commit("name", "key", { labels: { b: "3" } });
        assert.deepEqual((await snapshotter.stat("name")).labels, { b: "3" });
        await snapshotter.prepare("child", "name");
        assert.deepEqual((await snapshotter.stat("child")).labels, {});
      }),
    );

    it(
      "are gone when they are removed, and their names free at once",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("temporary");
        await snapshotter.commit("committed", "temporary");
        await snapshotter.prepare("reused", "committed");
        await snapshotter.remove("reused");
        await expectCode(snapshotter.remove("reused"), "not_found");
        await snapshotter.view("reused", "committed");
        await snapshotter.remove("reused");
        await snapshotter.prepare("reused");
        await snapshotter.remove("committed");
        await snapshotter.commit("committed", "reused");
      }),
    );

    it(
      "stay as long as there are children",
      withSnapshotter(group, async ({ snapshotter }) => {
        await populate(snapshotter);
        await expectCode(snapshotter.remove("committed-1"), "failed_precondition");
        await expectCode(snapshotter.remove("committed-2"), "failed_precondition");
        for (const name of ["active-2", "active-3", "view-2"]) await snapshotter.remove(name);
        await expectCode(snapshotter.remove("committed-1"), "failed_precondition");
        await snapshotter.remove("committed-2");
        await snapshotter.remove("committed-1");
      }),
    );

    it(
      "keep a snapshot in the middle of a chain",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("base");
        await snapshotter.commit("committed-base", "base");
        await snapshotter.prepare("middle", "committed-base");
        await snapshotter.commit("committed-middle", "middle");
        await snapshotter.prepare("top", "committed-middle");
        await expectCode(snapshotter.remove("committed-middle"), "failed_precondition");
        for (const name of ["top", "committed-middle", "committed-base"]) await snapshotter.remove(name);
        assert.deepEqual(await collect(snapshotter.walk()), []);
      }),
    );

    it(
      "refuse at a commit a parent that is none, or another than there was",
      withSnapshotter(group, async ({ snapshotter, suite }) => {
        await populate(snapshotter);
        await expectCode(snapshotter.commit("new", "active-1", { parent: "none" }), "not_found");
        await expectCode(snapshotter.commit("new", "active-1", { parent: "active-2" }), "failed_precondition");
        await expectCode(snapshotter.commit("new", "active-2", { parent: "committed-2" }), "invalid_argument");
        await snapshotter.commit("same", "active-2", { parent: "committed-1" });
        assert.equal((await snapshotter.stat("same")).parent, "committed-1");
        await snapshotter.commit("kept", "active-3");
        assert.equal((await snapshotter.stat("kept")).parent, "committed-2");
        if (suite.rebases !== false) return;
        await expectCode(snapshotter.commit("new", "active-1", { parent: "committed-1" }), "unsupported");
        assert.equal((await snapshotter.stat("active-1")).kind, "active");
      }),
    );

    if (group.suite.rebases !== false) {
      it(
        "take a parent at the commit of a snapshot on nothing, which then lies on it",
        withSnapshotter(group, async (test) => {
          const { snapshotter, mounted } = test;
          await commitChange(test, "base", { change: file("below", "below") });
          await mounted(await snapshotter.prepare("key"), file("above", "above"));
          await snapshotter.commit("name", "key", { parent: "base" });
          assert.equal((await snapshotter.stat("name")).parent, "base");
          await expectCode(snapshotter.remove("base"), "failed_precondition");
          await using tree = await snapshotter.openTree("name");
          assert.equal((await tree.lookup("below"))?.size, 5);
          assert.equal((await tree.lookup("above"))?.size, 5);
        }),
      );
    }

    it(
      "have any text for a name",
      withSnapshotter(group, async ({ snapshotter }) => {
        const names = [
          "/",
          "..",
          "../../etc",
          "a/b",
          "a\nb",
          "ß \u{1F600}",
          '"',
          "'; drop table snapshots",
          "-rf",
          " ",
        ];
        for (const name of names) {
          await snapshotter.prepare(`key of ${name}`);
          await snapshotter.commit(name, `key of ${name}`, { labels: { [`label ${name}`]: name } });
        }
        const infos = await collect(snapshotter.walk());
        assert.deepEqual(infos.map(({ name }) => name).toSorted(), names.toSorted());
        for (const name of names) {
          assert.deepEqual((await snapshotter.stat(name)).labels, { [`label ${name}`]: name });
          await snapshotter.remove(name);
        }
      }),
    );

    it(
      "can be asked for while they are walked, and changed",
      withSnapshotter(group, async ({ snapshotter }) => {
        await populate(snapshotter);
        const seen: SnapshotInfo[] = [];
        for await (const info of snapshotter.walk()) {
          assert.deepEqual(await snapshotter.stat(info.name), info);
          if (info.kind !== "committed") await snapshotter.remove(info.name);
          seen.push(info);
        }
        assert.equal(seen.length, POPULATION.length);
        assert.equal((await collect(snapshotter.walk())).length, 2);
      }),
    );
  });
}
