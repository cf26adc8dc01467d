import { describe, it } from "vitest";

import { createCheckoutMounter, createSnapshotter, createTreeDriver } from "../src/node/index.js";
import { snapshotterConformance } from "../src/testing.js";

/** 128 checkouts take their time. */
const TIMEOUT_MS = 300_000;
const run = Object.assign((name: string, body: () => Promise<void>) => it(name, body, TIMEOUT_MS), { skip: it.skip });

snapshotterConformance(
  { describe, it: run },
  {
    name: "the tree driver",
    create: async (directory) => ({
      snapshotter: await createSnapshotter(directory, createTreeDriver()),
      mounter: createCheckoutMounter(),
    }),
  },
);
