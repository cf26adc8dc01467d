export { chainID, chainIDs } from "./chain-id.js";
export { openChain } from "./chain.js";
export type { OpenChainOptions } from "./chain.js";
export { SnapshotError } from "./errors.js";
export type { SnapshotErrorCode } from "./errors.js";
