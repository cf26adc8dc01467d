import { describe, it } from "vitest";

import { createDirectoryDriver, createMounter, createSnapshotter } from "../src/node/index.js";
import { snapshotterConformance } from "../src/testing.js";
import { whyNoMounts } from "./mount-right.js";

snapshotterConformance(
  { describe, it },
  {
    name: "the directory driver",
    create: async (directory) => ({
      snapshotter: await createSnapshotter(directory, createDirectoryDriver()),
      mounter: createMounter(),
    }),
    unavailable: await whyNoMounts(),
    rebases: false,
    copiesParents: true,
  },
);
