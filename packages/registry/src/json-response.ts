export interface JsonResponseOptions {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A document with its length, so that HEAD tells it too. */
export function jsonResponse(value: unknown, { status = 200, headers }: JsonResponseOptions = {}): Response {
  const body = new TextEncoder().encode(JSON.stringify(value));
  const own = { "Content-Type": "application/json", "Content-Length": String(body.length) };
  return new Response(body, { status, headers: { ...own, ...headers } });
}
