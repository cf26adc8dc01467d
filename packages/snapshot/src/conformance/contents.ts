import assert from "node:assert/strict";
import { lstat, readdir, readFile, utimes } from "node:fs/promises";
import { join } from "node:path";

import type { MemoryLayerSpec } from "@lamella/layer-format/testing";

import { commitChange, expectChain, expectShows, flatDirectory } from "./expectations.js";
import {
  changes,
  directory,
  file,
  type FileChange,
  hardLink,
  mode,
  owner,
  removed,
  renamed,
  symbolicLink,
} from "./file-changes.js";
import { inPieces, layerTar } from "./layer-tar.js";
import { type ConformanceGroup, isRoot, withSnapshotter } from "./suite.js";

const LAYERS = 128;
/** The other layers are applied: to mount is slow where each layer is a mount of its own. */
const WRITTEN_BY_MOUNT = 16;

/** What is written through mounts is what the next snapshot shows. */
export function contentTests(group: ConformanceGroup): void {
  const { describe, it, suite } = group;
  const itAsRoot = isRoot ? it : it.skip;
  const chain = (...steps: readonly FileChange[]): (() => Promise<void>) =>
    withSnapshotter(group, (test) => expectChain(test, steps));

  describe("what is written through mounts", () => {
    it(
      "updates a file in an upper layer, within the same second and five times over",
      withSnapshotter(group, async (test) => {
        for (let round = 0; round < 5; round++) {
          await expectChain(test, [
            changes(
              directory("etc", 0o700),
              file("etc/hosts", "mydomain 10.0.0.1"),
              file("etc/profile", "PATH=/usr/bin"),
            ),
            changes(
              file("etc/hosts", "mydomain 10.0.0.2"),
              file("etc/profile", "PATH=/usr/bin", 0o666),
              directory("root", 0o700),
              file("root/.bashrc", "PATH=/usr/sbin:/usr/bin"),
            ),
          ]);
        }
      }),
    );

    it(
      "removes a directory of a lower layer and makes it again",
      chain(
        changes(directory("lib", 0o700), file("lib/hidden", "")),
        changes(removed("lib"), directory("lib", 0o700), file("lib/not-hidden", "")),
        file("lib/newfile", ""),
      ),
    );

    it(
      "does not show in a child what was removed in its parent",
      chain(changes(file("foo", "foo\n", 0o777), file("foobar", "foobar\n", 0o777)), removed("foobar"), changes()),
    );

    it(
      "moves files from a lower layer",
      chain(
        changes(directory("dir1", 0o700), file("dir1/f1", "Hello"), directory("dir2", 0o700), file("dir2/f2", "...")),
        changes(
          directory("dir3", 0o700),
          file("dir3/f1", "Hello"),
          removed("dir1"),
          hardLink("dir3/f2", "dir2/f2"),
          removed("dir2/f2"),
        ),
      ),
    );

    itAsRoot(
      "changes owners, also of what is below a directory",
      chain(
        changes(directory("opt/a/b", 0o700), file("opt/a/b/file.txt", "hello")),
        changes(...["opt", "opt/a", "opt/a/b", "opt/a/b/file.txt"].map((path) => owner(path, 1, 1))),
      ),
    );

    itAsRoot(
      "keeps the owners and modes of directories that are removed, made and changed",
      chain(
        changes(
          ...["dir1", "dir2", "dir3", "dir4", "dir5"].map((path) => directory(path, 0o700)),
          file("dir4/f1", "..."),
          file("dir5/f1", "..."),
          ...["dir1", "dir2", "dir3", "dir5", "dir5/f1"].map((path) => owner(path, 1, 1)),
        ),
        changes(owner("dir2", 0, 0), removed("dir3"), owner("dir4", 1, 1), owner("dir4/f1", 1, 1)),
        changes(
          directory("dir3", 0o700),
          owner("dir3", 1, 1),
          removed("dir5"),
          directory("dir5", 0o700),
          owner("dir5", 1, 1),
        ),
      ),
    );

    it(
      "renames files over others",
      chain(
        changes(
          directory("somefiles", 0o700),
          file("somefiles/f1", "was here first!"),
          file("somefiles/f2", "nothing interesting"),
        ),
        changes(
          file("somefiles/f1-overwrite", "new content 1"),
          renamed("somefiles/f1-overwrite", "somefiles/f1"),
          renamed("somefiles/f2", "somefiles/f3"),
        ),
      ),
    );

    const nested = changes(directory("dir1/sub", 0o700), file("dir1/sub/f", "content"));
    if (suite.renamesDirectories === false) {
      it(
        "refuses to rename a directory of a lower layer, as the kernel does between file systems",
        withSnapshotter(group, async (test) => {
          await commitChange(test, "nested", { change: nested });
          const refused = (root: string): Promise<void> =>
            assert.rejects(renamed("dir1", "dir2")(root), { code: "EXDEV" });
          await commitChange(test, "same", { parent: "nested", change: refused });
          await expectShows(test, "same", await flatDirectory(test, nested));
        }),
      );
    } else {
      it("renames a directory of a lower layer", chain(nested, renamed("dir1", "dir2")));
    }

    it(
      "replaces each kind of file by another",
      chain(
        changes(
          directory("file-to-directory"),
          ...["a", "b", "c"].map((path) => file(path, path)),
          ...["d", "e", "f"].map((path) => changes(directory(path), file(`${path}/inside`, path))),
          ...["g", "h"].map((path) => symbolicLink(path, "a")),
        ),
        changes(
          ...["a", "b", "d", "e", "g", "h"].map((path) => removed(path)),
          changes(directory("a"), file("a/inside", "now a directory")),
          symbolicLink("b", "a/inside"),
          file("d", "now a file"),
          symbolicLink("e", "/nowhere"),
          file("g", "now a file"),
          changes(directory("h"), file("h/inside", "now a directory")),
        ),
      ),
    );

    const linked = changes(file("a", "before"), hardLink("b", "a"));
    if (suite.keepsHardLinks === false) {
      it(
        "shows in that name of a file that it was written to",
        withSnapshotter(group, async (test) => {
          await commitChange(test, "linked", { change: linked });
          await commitChange(test, "written", { parent: "linked", change: file("a", "after") });
          await expectShows(
            test,
            "written",
            await flatDirectory(test, changes(file("a", "after"), file("b", "before"))),
          );
        }),
      );
    } else {
      it("shows in all names of a file", chain(linked, file("a", "after"), mode("b", 0o600)));
    }

    it(
      "may have names of any bytes that are text, and be as long as names can be",
      chain(
        changes(
          ...["new\nline", "back\\slash", 'quo"te', "col:on,comma", " ", "-rf", "\u00df\u{1F600}", "x".repeat(255)].map(
            (path) => changes(directory(`d/${path}`), file(`d/${path}/${path}`, path)),
          ),
        ),
        changes(file("d/new\nline/new\nline", "other"), removed("d/col:on,comma"), removed("d/-rf")),
      ),
    );

    it(
      "keeps the times of what it does not touch, to the nanosecond",
      withSnapshotter(group, async (test) => {
        const { snapshotter, mounted } = test;
        const times = async (root: string): Promise<bigint[]> => {
          const found = ["kept", "kept/file", "other"].map((path) => lstat(join(root, path), { bigint: true }));
          return (await Promise.all(found)).map(({ mtimeNs }) => mtimeNs);
        };
        let expected: bigint[] = [];
        await mounted(await snapshotter.prepare("key"), async (root) => {
          await changes(directory("kept"), file("kept/file", "content"), file("other", "content"))(root);
          await utimes(join(root, "other"), 1, 1_000_000_000.123456);
          expected = await times(root);
        });
        await snapshotter.commit("a", "key");
        await commitChange(test, "b", { parent: "a", change: file("new", "new") });
        assert.deepEqual(await mounted(await snapshotter.view("view", "b"), times), expected);
        await using tree = await snapshotter.openTree("b");
        const entry = await tree.lookup("other");
        assert.equal(
          BigInt(entry?.mtimeSeconds ?? 0) * 1_000_000_000n + BigInt(entry?.mtimeNanoseconds ?? 0),
          expected[2],
        );
      }),
    );

    it(
      "is there again when an active snapshot is mounted again",
      withSnapshotter(group, async ({ snapshotter, mounted }) => {
        const mounts = await snapshotter.prepare("key");
        await mounted(mounts, file("a", "first"));
        await mounted(mounts, async (root) => {
          assert.equal(await readFile(join(root, "a"), "utf8"), "first");
          await changes(file("a", "second"), file("b", "third"))(root);
        });
        await mounted(await snapshotter.mounts("key"), async (root) => {
          assert.deepEqual(await readdir(root), ["a", "b"]);
          assert.equal(await readFile(join(root, "a"), "utf8"), "second");
        });
        await using tree = await snapshotter.openTree("key");
        assert.equal((await tree.lookup("b"))?.size, 5);
      }),
    );

    it(
      `is merged over ${LAYERS} layers`,
      withSnapshotter(group, async (test) => {
        const { snapshotter } = test;
        const flat = await flatDirectory(test);
        let parent: string | undefined;
        for (let layer = 0; layer < LAYERS; layer++) {
          const name = `layer-${layer}`;
          const change = oneOfMany(layer);
          if (layer % WRITTEN_BY_MOUNT === 0) await commitChange(test, name, { parent, change });
          else {
            await snapshotter.prepare("key", parent);
            await snapshotter.apply("key", inPieces(await layerTar(layerOfMany(layer))));
            await snapshotter.commit(name, "key");
          }
          await change(flat);
          parent = name;
          if (layer % 40 === 20) await expectShows(test, name, flat);
        }
        await expectShows(test, parent ?? "", flat);
      }),
    );
  });

  describe("the use of space", () => {
    it(
      "is that of the snapshot alone, and a file of two names counts once",
      withSnapshotter(group, async (test) => {
        const { snapshotter, mounted } = test;
        const large = new Uint8Array(1 << 20).fill(1);
        await mounted(await snapshotter.prepare("key"), changes(file("a", large), hardLink("b", "a")));
        const active = await snapshotter.usage("key");
        assert.ok(active.bytes >= large.length && active.bytes < 1.5 * large.length, `${active.bytes} bytes`);
        await snapshotter.commit("parent", "key");
        const parent = await snapshotter.usage("parent");
        assert.ok(parent.bytes >= large.length && parent.bytes < 1.5 * large.length, `${parent.bytes} bytes`);
        assert.ok(parent.inodes > 0);

        await commitChange(test, "child", { parent: "parent", change: file("small", "small") });
        const child = await snapshotter.usage("child");
        const most = suite.copiesParents === true ? 1.5 * large.length : large.length / 4;
        assert.ok(child.bytes > 0 && child.bytes < most, `${child.bytes} bytes`);
        assert.deepEqual(await snapshotter.usage("parent"), parent);
        await snapshotter.view("view", "parent");
        assert.ok((await snapshotter.usage("view")).bytes < large.length / 4);
      }),
    );
  });
}

/** Adds to a directory, writes over a file, and puts a new directory in the place of an old one. */
function oneOfMany(layer: number): FileChange {
  return changes(
    ...(layer === 0 ? [file("bottom", "way at the bottom\n", 0o777), directory("addhere")] : [removed("onlyme")]),
    file("overwriteme", `${layer} WAS HERE!\n`, 0o777),
    file(`addhere/file-${layer}`, "same\n", 0o755),
    directory("onlyme"),
    file(`onlyme/file-${layer}`, "only me!\n", 0o777),
  );
}

/** The same as a layer, on any but the first. */
function layerOfMany(layer: number): MemoryLayerSpec {
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  return [
    { path: "overwriteme", content: `${layer} WAS HERE!\n`, mode: 0o777, ...owner },
    { path: `addhere/file-${layer}`, content: "same\n", mode: 0o755, ...owner },
    { path: "onlyme", kind: "directory", mode: 0o755, ...owner },
    { path: "onlyme", kind: "opaque" },
    { path: `onlyme/file-${layer}`, content: "only me!\n", mode: 0o777, ...owner },
  ];
}
