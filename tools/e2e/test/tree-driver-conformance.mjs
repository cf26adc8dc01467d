import { describe, it } from "node:test";

import { createCheckoutMounter, createSnapshotter, createTreeDriver } from "@lamella/snapshot/node";
import { snapshotterConformance } from "@lamella/snapshot/testing";

snapshotterConformance(
  { describe, it },
  {
    name: "the tree driver",
    create: async (directory) => ({
      snapshotter: await createSnapshotter(directory, createTreeDriver()),
      mounter: createCheckoutMounter(),
    }),
  },
);
