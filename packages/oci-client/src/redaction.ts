import { quote } from "@lamella/refs";

const SECRET = "[redacted]";
const CREDENTIALS = /\b(bearer|basic)\s+[\w.~+/=-]+/gi;
const USER_INFO = /\/\/[^\s/@"'<>]{1,256}@/g;
const QUERY = /\?[^\s"'<>]+/g;

/** Of a shorter one, to strike it out would tell more than to leave it. */
const MIN_SECRET_LENGTH = 4;

/** A URL for a message: the query of a signed URL is a secret, and so is its user. */
export function showUrl(url: URL): string {
  return url.origin + url.pathname;
}

/** Text of a registry for a message, without what looks like credentials. */
export function redact(text: string): string {
  return text.replaceAll(CREDENTIALS, `$1 ${SECRET}`).replaceAll(USER_INFO, "//").replaceAll(QUERY, `?${SECRET}`);
}

/** Strikes out secrets that the other side was given and may repeat: as they are, quoted, and encoded for a URL or a form. */
export function redactSecrets(text: string, secrets: readonly string[]): string {
  let result = text;
  for (const secret of secrets) {
    if (secret.length < MIN_SECRET_LENGTH) continue;
    const forms = [secret, JSON.stringify(secret).slice(1, -1), quote(secret).slice(1, -1)];
    forms.push(encodeURIComponent(secret), new URLSearchParams([["", secret]]).toString().slice(1));
    for (const form of new Set(forms)) result = result.replaceAll(form, SECRET);
  }
  return result;
}
