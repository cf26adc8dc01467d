import { describe, it } from "/work/main/packages/registry/node_modules/vitest/dist/index.js";
import { registryConformance } from "/work/main/packages/registry/src/testing.js";
describe("docker-registry", () => registryConformance({ describe, it }, async () => ({ send: fetch, origin: "http://127.0.0.1:5392", deletesBlobs: true, [Symbol.asyncDispose]: async () => {} })));
