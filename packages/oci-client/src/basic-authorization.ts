import type { BasicCredential } from "./credentials.js";
import { OciClientError } from "./errors.js";

// Control characters, which neither may hold (RFC 7617, section 2).
const CONTROL = /\p{Cc}/u;

/**
 * The `Authorization` of a name and a password, in UTF-8 (RFC 7617).
 * @throws {OciClientError} `credentials_invalid`
 */
export function basicAuthorization({ username, password }: BasicCredential): string {
  if (username.includes(":") || CONTROL.test(username) || CONTROL.test(password)) {
    throw new OciClientError(
      "credentials_invalid",
      "cannot use a password: its user's name or itself cannot be sent with Basic",
    );
  }
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
}
