import { describe, it } from "vitest";

import { createRegistry } from "../src/index.js";
import { memoryStorage, registryConformance } from "../src/testing.js";

describe("a registry in memory", () => {
  registryConformance({ describe, it }, async () => ({
    send: createRegistry({ storage: memoryStorage() }),
    origin: "http://registry.test",
    deletesBlobs: true,
    [Symbol.asyncDispose]: async () => undefined,
  }));
});
