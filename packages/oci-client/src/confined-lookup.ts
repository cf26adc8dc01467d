import type { LookupFunction } from "node:net";

import { isConfinedAddress } from "./address.js";

/** The `code` of the error of a name that is not looked up any further. */
export const CONFINED = "ERR_CONFINED_ADDRESS";

/** Looks names up, and fails for those of a link-local address: what a literal address may not reach, a name must not either. */
export function confinedLookup(lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, address, family) => {
      const found = typeof address === "string" ? [address] : (address ?? []).map((entry) => entry.address);
      if (error !== null || !found.some(isConfined)) return callback(error, address, family);
      const refusal = new Error(`cannot connect to ${hostname}: a link-local address is never followed`);
      callback(Object.assign(refusal, { code: CONFINED }), "", 0);
    });
  };
}

/** `URL` puts an address into the form that is compared; a zone (`fe80::1%eth0`) plays no part. */
function isConfined(address: string): boolean {
  const [plain = ""] = address.split("%");
  return isConfinedAddress(new URL(plain.includes(":") ? `http://[${plain}]/` : `http://${plain}/`).hostname);
}
