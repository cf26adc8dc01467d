/** Stands in for `node:http2`, which undici loads at its start and uses only where it is allowed to: here it is not. */
export const constants = {};
