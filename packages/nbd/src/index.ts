export type { BlockSource } from "./block-source.js";
export { NbdError, type NbdErrorCode } from "./errors.js";
export type { NbdExports } from "./exports.js";
export type { NbdLimits } from "./limits.js";
export type { NbdAddress, NbdListen } from "./nbd-address.js";
export { type NbdServer, type NbdStats, serveNbd, type ServeNbdOptions } from "./server.js";
