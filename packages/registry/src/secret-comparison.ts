import { createHmac } from "./hmac.js";

/**
 * Whether two texts are the same, in a time that tells neither where they differ nor, beyond hashing it, how long the expected one is:
 * what is compared are MACs under a key that nobody knows.
 */
export async function equalSecrets(given: string, expected: string): Promise<boolean> {
  const hmac = createHmac(globalThis.crypto.getRandomValues(new Uint8Array(32)));
  const encoder = new TextEncoder();
  return hmac.verify(encoder.encode(given), await hmac.sign(encoder.encode(expected)));
}
