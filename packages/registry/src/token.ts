import type { Access } from "./access.js";
import { RegistryError } from "./errors.js";
import { createHmac } from "./hmac.js";

/** What a token says (RFC 7519; Distribution, "Docker Registry v2 Bearer token specification"). Times in seconds since 1970. */
interface Claims {
  readonly iss: string;
  readonly aud: string;
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  readonly access: readonly Access[];
}

/** Tokens that only their maker can make: JSON Web Tokens with HMAC-SHA-256. */
export interface TokenSigner {
  sign(claims: Claims): Promise<string>;
  /** What a token says, if it is one of ours, whole, and not over; else undefined. */
  verify(token: string, nowSeconds: number): Promise<Claims | undefined>;
}

/** As long as the MAC: RFC 7518, section 3.2. */
const SECRET_MIN_BYTES = 32;
/** The only header there is: a token says nothing about how it is to be verified. */
const HEADER = encode(new TextEncoder().encode(JSON.stringify({ typ: "JWT", alg: "HS256" })));

/** Throws `secret_invalid`. */
export function createTokenSigner(secret: Uint8Array): TokenSigner {
  if (secret.length < SECRET_MIN_BYTES) {
    const state = `the secret has ${secret.length} bytes, at least ${SECRET_MIN_BYTES} are needed`;
    throw new RegistryError("secret_invalid", `cannot sign tokens: ${state}`);
  }
  const hmac = createHmac(secret);
  const encoder = new TextEncoder();
  return {
    async sign(claims) {
      const signed = `${HEADER}.${encode(encoder.encode(JSON.stringify(claims)))}`;
      return `${signed}.${encode(await hmac.sign(encoder.encode(signed)))}`;
    },
    async verify(token, nowSeconds) {
      const [header = "", body = "", mac = "", ...rest] = token.split(".");
      if (header !== HEADER || rest.length > 0) return undefined;
      const signed = `${header}.${body}`;
      const bytes = decode(mac);
      // the last character has bits to spare: one token has one spelling
      if (encode(bytes) !== mac || !(await hmac.verify(encoder.encode(signed), bytes))) return undefined;
      const claims = JSON.parse(new TextDecoder().decode(decode(body))) as Claims;
      return claims.exp > nowSeconds ? claims : undefined;
    },
  };
}

/** base64url without padding (RFC 7515, section 2). */
function encode(bytes: Uint8Array): string {
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Empty for what is none: no MAC is. */
function decode(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
