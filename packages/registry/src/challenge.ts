/** A value of `WWW-Authenticate` (RFC 9110, section 11.6.1). */
export function challengeOf(
  scheme: "Bearer" | "Basic",
  parameters: Readonly<Record<string, string | undefined>>,
): string {
  const shown: string[] = [];
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) shown.push(`${name}="${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`);
  }
  return `${scheme} ${shown.join(",")}`;
}
