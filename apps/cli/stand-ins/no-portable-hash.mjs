/** Stands in for @noble/hashes, which our packages use where there is no `node:crypto`. */
export const sha256 = undefined;
export const sha384 = undefined;
export const sha512 = undefined;
export const bytesToHex = undefined;
