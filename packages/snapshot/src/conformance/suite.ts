import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Mount, Mounter } from "../mount.js";
import { removeDirectory } from "../node/snapshot-directory.js";
import type { Snapshotter } from "../snapshotter.js";

/** What a test runner calls them. */
export interface TestFunctions {
  readonly describe: (name: string, body: () => void) => void;
  readonly it: ((name: string, body: () => Promise<void>) => void) & {
    /** Names a test that is not run. */
    readonly skip: (name: string, body: () => Promise<void>) => void;
  };
}

/** A snapshotter for one test. */
export interface SnapshotterFixture {
  readonly snapshotter: Snapshotter;
  /** Can do what the snapshotter's mounts ask for. */
  readonly mounter: Mounter;
  /** After the snapshotter has been closed. */
  dispose?(): Promise<void>;
}

export interface SnapshotterConformance {
  readonly name: string;
  /** @param directory an empty one, removed at the test's end */
  create(directory: string): Promise<SnapshotterFixture>;
  /** Why the snapshotter cannot be tried here: its tests are skipped then, and the runner's report says so. */
  readonly unavailable?: string | undefined;
  /** Whether a parent's directory can be renamed; yes by default. Overlayfs cannot. */
  readonly renamesDirectories?: boolean;
  /** Whether a write to one of several names of a parent's file shows in all of them; yes by default. Overlayfs cannot. */
  readonly keepsHardLinks?: boolean;
  /** Whether a snapshot on nothing can be given a parent at its commit; yes by default. */
  readonly rebases?: boolean;
  /** Whether a snapshot takes up what its parents do as well; no by default. */
  readonly copiesParents?: boolean;
}

export interface ConformanceGroup extends TestFunctions {
  readonly suite: SnapshotterConformance;
}

export const isRoot: boolean = process.geteuid?.() === 0;

/** What a test has. */
export interface TestSnapshotter extends SnapshotterFixture {
  readonly suite: SnapshotterConformance;
  /** A directory outside of the snapshotter's. */
  readonly work: string;
  /** Mounts for as long as `use` runs. */
  mounted<Result>(mounts: readonly Mount[], use: (directory: string) => Promise<Result>): Promise<Result>;
}

/** Wraps a test's body: the snapshotter is closed and everything removed whatever comes of it. */
export function withSnapshotter(
  { suite }: ConformanceGroup,
  body: (test: TestSnapshotter) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const directory = await mkdtemp(join(tmpdir(), "lamella-snapshotter-"));
    const store = join(directory, "store");
    const work = join(directory, "work");
    try {
      await mkdir(store);
      await mkdir(work);
      const fixture = await suite.create(store);
      try {
        await body(createTest(fixture, { suite, work }));
      } finally {
        await fixture.snapshotter[Symbol.asyncDispose]();
        await fixture.dispose?.();
      }
    } finally {
      await removeDirectory(directory);
    }
  };
}

function createTest(
  fixture: SnapshotterFixture,
  { suite, work }: Pick<TestSnapshotter, "suite" | "work">,
): TestSnapshotter {
  const { snapshotter, mounter } = fixture;
  return {
    suite,
    work,
    snapshotter,
    mounter,
    async mounted(mounts, use) {
      const target = await mkdtemp(join(work, "mount-"));
      await mounter.mount(mounts, target);
      try {
        return await use(target);
      } finally {
        await mounter.unmount(mounts, target);
      }
    },
  };
}
