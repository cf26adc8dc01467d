/** One event of a stream of server-sent events (WHATWG HTML, section 9.2). */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  /** The last id that was sent until now; empty before the first. */
  readonly id: string;
}

/**
 * Reads server-sent events from a body, cut wherever it is. EventSource would do that too, but sends no token.
 * Comments and retry times are passed over; an event that the end of the body cuts off is none.
 */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let [type, data, id] = ["", [] as string[], ""];
  for await (const line of readLines(body)) {
    if (line === "") {
      if (data.length > 0) yield { type: type || "message", data: data.join("\n"), id };
      [type, data] = ["", []];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") type = value;
    if (field === "data") data.push(value);
    if (field === "id" && !value.includes("\0")) id = value;
  }
}

/** Lines that end with LF, CRLF or CR. A CR at the end of a chunk waits for what follows it. */
async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
