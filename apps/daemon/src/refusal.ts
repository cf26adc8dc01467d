/** An answer of RFC 9457 to who is not let in, or has lost the way. */
export function refuse(
  status: number,
  { code, title, detail }: { readonly code: string; readonly title: string; readonly detail: string },
  headers: Readonly<Record<string, string>> = {},
): Response {
  const problem = { type: "about:blank", title, status, detail, code };
  return Response.json(problem, { status, headers: { ...headers, "Content-Type": "application/problem+json" } });
}
