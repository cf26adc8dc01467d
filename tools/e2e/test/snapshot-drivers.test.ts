import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { openDisk, planErofs, writeDisk } from "@lamella/disk-export";
import { missing, OPEN_CHECKOUT } from "@lamella/oracles";
import { createErofsDriver, createMounter, createSnapshotter, type ErofsImages } from "@lamella/snapshot/node";
import { snapshotterConformance } from "@lamella/snapshot/testing";
import { describe, expect, it } from "vitest";

const reason = missing(["root", "mount", "tar"]);
const ORDINARY_USER = "65534";
const closed = missing(["root", "setpriv", OPEN_CHECKOUT]);
const why = closed === undefined ? "" : ` (${closed})`;

const images: ErofsImages = {
  async write(tree, path, options) {
    await using plan = await planErofs(tree, options);
    await writeDisk(plan, path, options);
  },
  open: (path, options) => openDisk(path, options),
};

snapshotterConformance(
  { describe, it },
  {
    name: "the EROFS driver",
    create: async (directory) => ({
      snapshotter: await createSnapshotter(directory, createErofsDriver({ images })),
      mounter: createMounter(),
    }),
    unavailable: reason,
    renamesDirectories: false,
    keepsHardLinks: false,
    rebases: false,
  },
);

describe.skipIf(why !== "")(`the tree driver of an ordinary user${why}`, () => {
  it("does what every snapshotter does", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lamella-ordinary-"));
    try {
      await chmod(directory, 0o777);
      const script = fileURLToPath(new URL("tree-driver-conformance.mjs", import.meta.url));
      const identity = [`--reuid=${ORDINARY_USER}`, `--regid=${ORDINARY_USER}`, "--clear-groups", "--inh-caps=-all"];
      const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...environment } = process.env;
      const run = promisify(execFile)("setpriv", [...identity, "--", process.execPath, "--test-reporter=tap", script], {
        env: { ...environment, TMPDIR: directory, HOME: directory },
        maxBuffer: 1 << 26,
        cwd: directory,
      });
      const { stdout } = await run.catch((error: { stdout: string }) => error);
      expect(stdout.split("\n").filter((line) => /^\s*not ok/.test(line))).toEqual([]);
      expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(80);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
