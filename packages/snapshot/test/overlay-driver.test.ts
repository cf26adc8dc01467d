import { describe, it } from "vitest";

import { createMounter, createOverlayDriver, createSnapshotter } from "../src/node/index.js";
import { snapshotterConformance } from "../src/testing.js";
import { whyNoMounts } from "./mount-right.js";

const unavailable = await whyNoMounts();

for (const userXattr of [false, true]) {
  snapshotterConformance(
    { describe, it },
    {
      name: `the overlay driver with its marks in ${userXattr ? "user" : "trusted"} xattrs`,
      create: async (directory) => ({
        snapshotter: await createSnapshotter(directory, createOverlayDriver({ userXattr })),
        mounter: createMounter(),
      }),
      unavailable,
      renamesDirectories: false,
      keepsHardLinks: false,
    },
  );
}
