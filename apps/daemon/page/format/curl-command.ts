/** The command that downloads; one that was broken off goes on where it was. The token itself never stands in it. */
export function curlCommand(url: string, file: string, needsToken: boolean): string {
  const header = needsToken ? ` -H "Authorization: Bearer $LAMELLAD_TOKEN"` : "";
  return `curl --fail --continue-at - --output ${quoted(file)}${header} ${quoted(url)}`;
}

function quoted(word: string): string {
  return /^[A-Za-z0-9._:/%@=+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
