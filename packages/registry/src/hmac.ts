const HMAC = { name: "HMAC", hash: "SHA-256" } as const;

/** HMAC-SHA-256 (RFC 2104) with one key. */
export interface Hmac {
  sign(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>>;
  /** In a time that does not tell where a wrong one is wrong. */
  verify(bytes: Uint8Array, mac: Uint8Array): Promise<boolean>;
}

export function createHmac(secret: Uint8Array): Hmac {
  const { subtle } = globalThis.crypto;
  const key = subtle.importKey("raw", new Uint8Array(secret), HMAC, false, ["sign", "verify"]);
  return {
    sign: async (bytes) => new Uint8Array(await subtle.sign(HMAC, await key, new Uint8Array(bytes))),
    verify: async (bytes, mac) => subtle.verify(HMAC, await key, new Uint8Array(mac), new Uint8Array(bytes)),
  };
}
