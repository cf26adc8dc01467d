export { prepareBench } from "./bench.js";
export type { Bench, Rehearsal } from "./bench.js";
export { runCrowd } from "./crowd.js";
export type { CrowdOptions, CrowdReport } from "./crowd.js";
export { chooseFailure, chooseKill, formatCase, parseCase, runCase, runMatrix } from "./matrix.js";
export type { CaseResult, FailedCase, FaultCase, MatrixOptions, MatrixReport } from "./matrix.js";
export { missingForShim } from "./shim.js";
