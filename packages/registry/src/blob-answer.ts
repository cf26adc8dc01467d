import { contentRangeOf } from "./range.js";
import type { ByteRange } from "./range.js";

/** What is answered of a blob. */
export interface BlobAnswer {
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<"Content-Type" | "Content-Length", string> & { "Content-Range"?: string }>;
  /** Not called for a HEAD. */
  body(): AsyncIterable<Uint8Array>;
}

type ReadRange = (range: ByteRange) => AsyncIterable<Uint8Array>;

const OCTETS = "application/octet-stream";

/** The whole of a blob where nothing else is asked for, a range, or several (RFC 9110, section 15.3.7). */
export function answerOf(ranges: readonly ByteRange[] | undefined, size: number, read: ReadRange): BlobAnswer {
  if (ranges !== undefined && ranges.length > 1) return severalOf(ranges, size, read);
  const [range] = ranges ?? [];
  const { offset, length } = range ?? { offset: 0, length: size };
  return {
    status: range === undefined ? 200 : 206,
    headers: {
      "Content-Type": OCTETS,
      "Content-Length": String(length),
      ...(range !== undefined && { "Content-Range": contentRangeOf(range, size) }),
    },
    body: () => read({ offset, length }),
  };
}

function severalOf(ranges: readonly ByteRange[], size: number, read: ReadRange): BlobAnswer {
  const boundary = globalThis.crypto.randomUUID();
  const encoder = new TextEncoder();
  const parts = ranges.map((range) => {
    const head = `\r\n--${boundary}\r\nContent-Type: ${OCTETS}\r\nContent-Range: ${contentRangeOf(range, size)}\r\n\r\n`;
    return { range, head: encoder.encode(head) };
  });
  const end = encoder.encode(`\r\n--${boundary}--\r\n`);
  const length = parts.reduce((sum, { range, head }) => sum + head.length + range.length, end.length);
  return {
    status: 206,
    headers: { "Content-Type": `multipart/byteranges; boundary=${boundary}`, "Content-Length": String(length) },
    async *body() {
      for (const { range, head } of parts) {
        yield head;
        yield* read(range);
      }
      yield end;
    },
  };
}
