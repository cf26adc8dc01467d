export { registryConformance, specificationConformance } from "./conformance/conformance.js";
export type { RegistryFixture, TestFunctions } from "./conformance/fixture.js";
export { checkSpecification } from "./conformance/specification/specification.js";
export type { SpecificationResult } from "./conformance/specification/specification.js";
export type { RegistryTarget } from "./conformance/specification/probe.js";
export { memoryStorage } from "./memory-storage.js";
export type { MemoryStorageOptions } from "./memory-storage.js";
