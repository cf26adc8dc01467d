const CREDENTIALS = /\b(bearer|basic)\s+[\w.~+/=-]+/gi;
const USER_INFO = /\/\/[^\s/@"'<>]{1,256}@/g;
const QUERY = /\?[^\s"'<>]+/g;

/** A URL for a message: the query of a signed URL is a secret, and so is its user. */
export function showUrl(url: URL): string {
  return url.origin + url.pathname;
}

/** Text of a registry for a message, without what looks like credentials. */
export function redact(text: string): string {
  return text.replaceAll(CREDENTIALS, "$1 [redacted]").replaceAll(USER_INFO, "//").replaceAll(QUERY, "?[redacted]");
}
