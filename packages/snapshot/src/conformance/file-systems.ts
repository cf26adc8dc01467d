import { expectChain } from "./expectations.js";
import {
  changes,
  directory,
  file,
  type FileChange,
  hardLink,
  mode,
  removed,
  renamed,
  symbolicLink,
} from "./file-changes.js";
import { type ConformanceGroup, withSnapshotter } from "./suite.js";

const BASE = changes(
  directory("etc"),
  file("etc/hosts", "127.0.0.1 localhost"),
  hardLink("etc/hosts.allow", "etc/hosts"),
  directory("usr/local/lib"),
  file("usr/local/lib/libnothing.so", new Uint8Array(2), 0o755),
  symbolicLink("usr/local/lib/libnothing.so.2", "libnothing.so"),
  directory("home"),
  directory("home/derek", 0o700),
);

/** A file in the place of another, which keeps its other names. */
function replaced(path: string, content: string): FileChange {
  return changes(removed(path), file(path, content));
}

/** A file system that goes from one snapshot to the next in small steps. */
export function fileSystemTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  const chain = (...steps: readonly FileChange[]): (() => Promise<void>) =>
    withSnapshotter(group, (test) => expectChain(test, steps));

  describe("a file system in steps", () => {
    it(
      "is built, changed and taken apart",
      chain(
        BASE,
        changes(
          replaced("etc/hosts", "127.0.0.1 localhost.localdomain"),
          file("etc/fstab", "/dev/sda1\t/\text4\tdefaults 1 1\n", 0o600),
          file("etc/badfile", "", 0o666),
          file("home/derek/.zshrc", "#ZSH is just better\n", 0o640),
        ),
        changes(
          removed("etc/badfile"),
          directory("home/notderek", 0o700),
          renamed("home/derek/.zshrc", "home/notderek/.zshrc"),
          removed("home/derek"),
        ),
        changes(removed("usr"), removed("etc/hosts.allow")),
        changes(
          removed("home"),
          directory("home/derek", 0o700),
          file("home/derek/.bashrc", "#not going away\n", 0o640),
          hardLink("etc/hosts.allow", "etc/hosts"),
        ),
      ),
    );

    it(
      "loses files and directories",
      chain(
        changes(directory("test/somedir"), directory("lib", 0o700), file("lib/hidden", "")),
        changes(
          file("test/a", ""),
          file("test/b", ""),
          directory("test/otherdir"),
          file("test/otherdir/.empty", ""),
          removed("lib"),
          directory("lib", 0o700),
          file("lib/not-hidden", ""),
        ),
        changes(removed("test/a"), removed("test/b"), removed("test/otherdir"), file("lib/newfile", "")),
      ),
    );

    it(
      "is updated in content and permissions",
      chain(
        changes(
          directory("d1"),
          directory("d2", 0o700),
          file("d1/f1", "something..."),
          file("d1/f2", "else..."),
          file("d1/f3", "entirely..."),
        ),
        changes(
          file("d1/f1", "file content of a different length", 0o664),
          removed("d1/f3"),
          file("d1/f3", "updated content", 0o664),
          mode("d1/f2", 0o766),
          mode("d2", 0o777),
        ),
      ),
    );

    it(
      "keeps the permissions of directories in which files are made",
      chain(
        changes(directory("d1", 0o700), directory("d2", 0o751), directory("d3", 0o777)),
        changes(
          file("d1/f", "irrelevant"),
          directory("d1/d", 0o700),
          file("d1/d/f", "irrelevant"),
          file("d2/f", "irrelevant"),
          file("d3/f", "irrelevant"),
        ),
      ),
    );

    it(
      "keeps the permissions of the parents of what is changed",
      chain(
        changes(
          directory("d1/a/b/c", 0o700),
          file("d1/a/b/f", "content1"),
          directory("d2/a/b/c", 0o751),
          file("d2/a/b/f", "content1"),
        ),
        changes(
          file("d1/a/b/f", "content1"),
          mode("d1/a/b/c", 0o700),
          file("d2/a/b/f", "content2"),
          mode("d2/a/b/c", 0o751),
        ),
      ),
    );

    const other = "127.0.0.1 localhost.localdomain";
    it(
      "links a new name to an unmodified file",
      chain(BASE, replaced("etc/hosts", other), hardLink("etc/hosts.deny", "etc/hosts")),
    );
    it(
      "links a new name that comes before an unmodified file",
      chain(BASE, replaced("etc/hosts", other), hardLink("etc/before-hosts", "etc/hosts")),
    );
    it(
      "links a new name that comes before a modified file",
      chain(
        BASE,
        replaced("etc/hosts", other),
        changes(replaced("etc/hosts", "127.0.0.1 localhost"), hardLink("etc/before-hosts", "etc/hosts")),
      ),
    );
  });
}
