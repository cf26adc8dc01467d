import { describe, it } from "vitest";

import { createRegistry } from "../src/index.js";
import { memoryStorage, registryConformance, specificationConformance } from "../src/testing.js";
import type { RegistryFixture } from "../src/testing.js";

describe("a registry in memory", () => {
  const createFixture = async (): Promise<RegistryFixture> => ({
    send: createRegistry({ storage: memoryStorage() }),
    origin: "http://registry.test",
    deletesBlobs: true,
    [Symbol.asyncDispose]: async () => undefined,
  });
  registryConformance({ describe, it }, createFixture);
  specificationConformance({ describe, it }, createFixture);
});
