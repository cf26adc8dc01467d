import assert from "node:assert/strict";

import { collect, expectCode } from "./expectations.js";
import { type ConformanceGroup, withSnapshotter } from "./suite.js";

/** Filters, and the names that they find. */
const FILTERS: readonly (readonly [filters: readonly string[], names: readonly string[]])[] = [
  [['labels."lamella.dev/root"==check-walk'], ["a", "a-np", "a-np-wl", "a-wl", "p", "p-wl", "v", "v-wl"]],
  [['kind==active,labels."lamella.dev/root"==check-walk'], ["a", "a-np", "a-np-wl", "a-wl"]],
  [["kind==view"], ["v", "v-wl"]],
  [["kind==committed"], ["p", "p-wl"]],
  [
    ["name==p", "name==a-np-wl"],
    ["a-np-wl", "p"],
  ],
  [["name==a-wl,labels.l"], ["a-wl"]],
  [["parent==p"], ["a", "v"]],
  [['parent!="",labels."lamella.dev/root"==check-walk'], ["a", "a-wl", "v", "v-wl"]],
  [["labels.l"], ["a-np-wl", "a-wl", "p-wl", "v-wl"]],
  [["labels.l==2"], ["a-np-wl", "a-wl"]],
  [["name~=^[ap]$"], ["a", "p"]],
  [["kind!=active,labels.l!=3"], ["p", "p-wl", "v"]],
  [["name==none"], []],
];

export function labelTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("labels", () => {
    it(
      "are set all together, or by field paths, of snapshots of every kind",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("temporary");
        await snapshotter.commit("committed", "temporary", { labels: { first: "1" } });
        await snapshotter.prepare("active", "committed", { labels: { first: "1" } });
        await snapshotter.view("view", "committed");
        for (const name of ["committed", "active", "view"]) {
          const before = await snapshotter.stat(name);
          const from = Date.now();
          const all = await snapshotter.update(name, { labels: { l1: "v1", l2: "v2", l3: "v3" } });
          assert.ok(all.updatedAt.getTime() >= from && all.updatedAt.getTime() <= Date.now());
          const { updatedAt } = all;
          assert.deepEqual(all, { ...before, updatedAt, labels: { l1: "v1", l2: "v2", l3: "v3" } });

          const given = { labels: { l1: "updated", l4: "not named", "with.dots": "v" } };
          const some = await snapshotter.update(name, given, ["labels.l1", "labels.l2", "labels.with.dots"]);
          assert.deepEqual(some.labels, { l1: "updated", l3: "v3", "with.dots": "v" });

          const emptied = await snapshotter.update(name, { labels: { l3: "" } }, ["labels.l3"]);
          assert.deepEqual(emptied.labels, { l1: "updated", "with.dots": "v" });

          await snapshotter.update(name, { labels: { l4: "v4" } }, ["labels"]);
          assert.deepEqual((await snapshotter.stat(name)).labels, { l4: "v4" });
        }
      }),
    );

    it(
      "are the only field that can be set",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("key", undefined, { labels: { a: "1" } });
        const before = await snapshotter.stat("key");
        for (const path of ["parent", "name", "kind", "label", ""]) {
          const call = snapshotter.update("key", { labels: { a: "2" } }, ["labels.a", path]);
          await expectCode(call, "invalid_argument");
        }
        assert.deepEqual(await snapshotter.stat("key"), before);
      }),
    );

    it(
      "may have odd names, but not be endless",
      withSnapshotter(group, async ({ snapshotter }) => {
        const odd = { __proto__x: "1", constructor: "2", 'ß/\n"': "3" };
        await snapshotter.prepare("key", undefined, { labels: odd });
        assert.deepEqual((await snapshotter.stat("key")).labels, odd);
        const long = { labels: { x: "y".repeat(4096) } };
        await expectCode(snapshotter.prepare("other", undefined, long), "invalid_argument");
        await expectCode(snapshotter.commit("other", "key", long), "invalid_argument");
        await expectCode(snapshotter.update("key", long), "invalid_argument");
        await expectCode(snapshotter.stat("other"), "not_found");
        assert.deepEqual((await snapshotter.stat("key")).labels, odd);
      }),
    );

    it(
      "and the other fields are what filters of a walk look at",
      withSnapshotter(group, async ({ snapshotter }) => {
        const root = { "lamella.dev/root": "check-walk" };
        await snapshotter.prepare("a-np", undefined, { labels: root });
        await snapshotter.prepare("p-tmp");
        await snapshotter.commit("p", "p-tmp", { labels: root });
        await snapshotter.prepare("a", "p", { labels: root });
        await snapshotter.view("v", "p", { labels: root });
        await snapshotter.prepare("p-wl-tmp");
        await snapshotter.commit("p-wl", "p-wl-tmp", { labels: { l: "1", ...root } });
        await snapshotter.prepare("a-wl", "p-wl", { labels: { l: "2", ...root } });
        await snapshotter.view("v-wl", "p-wl", { labels: { l: "3", ...root } });
        await snapshotter.prepare("a-np-wl", undefined, { labels: { l: "2", ...root } });
        for (const [filters, names] of FILTERS) {
          const found = await collect(snapshotter.walk({ filters }));
          assert.deepEqual(
            found.map(({ name }) => name),
            names,
            filters.join(" or "),
          );
        }
        await expectCode(collect(snapshotter.walk({ filters: ["size==1"] })), "invalid_argument");
      }),
    );
  });
}
