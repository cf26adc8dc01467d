export { registryConformance } from "./conformance/conformance.js";
export type { RegistryFixture, TestFunctions } from "./conformance/fixture.js";
export { memoryStorage } from "./memory-storage.js";
export type { MemoryStorageOptions } from "./memory-storage.js";
