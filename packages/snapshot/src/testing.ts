export { snapshotterConformance } from "./conformance/conformance.js";
export type { SnapshotterConformance, SnapshotterFixture, TestFunctions } from "./conformance/suite.js";
