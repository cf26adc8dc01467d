import type { BlobPiece, BlobRange } from "@lamella/refs";

/** What stands between the bodies of two parts, or before the first, is not longer. */
const MAX_HEAD_BYTES = 16 * 1024;

const ascii = new TextDecoder("latin1");

interface PartsOptions {
  readonly boundary: string;
  /** Which part of the blob a `Content-Range` stands for, if it was asked for. @throws if not */
  readonly take: (contentRange: string | null) => BlobRange;
  readonly unusable: (state: string) => Error;
}

/** The boundary of a `multipart/byteranges`; undefined for any other type (RFC 2046, section 5.1.1). */
export function boundaryOf(contentType: string | null): string | undefined {
  if (contentType === null || !/^multipart\/byteranges[ \t]*;/i.test(contentType)) return undefined;
  const match = /;[ \t]*boundary=(?:"([^"]{1,70})"|([^"\s;]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/**
 * The parts of a `multipart/byteranges` (RFC 9110, section 14.6). How long a part is says its `Content-Range`: its bytes are not searched for the boundary.
 * A body that ends early throws.
 */
export async function* readParts(
  body: AsyncIterable<Uint8Array>,
  { boundary, take, unusable }: PartsOptions,
): AsyncGenerator<BlobPiece, void, undefined> {
  const reader = new PartReader(body, unusable);
  try {
    let line = await reader.line();
    // before the first part anything may stand
    while (!isDelimiter(line, boundary)) line = await reader.line();
    while (!line.startsWith(`--${boundary}--`)) {
      yield* reader.content(take(await readContentRange(reader)));
      if ((await reader.line()) !== "") throw unusable("a part is longer than it says");
      line = await reader.line();
      if (!isDelimiter(line, boundary)) throw unusable("a part is not followed by another one");
    }
    await reader.end();
  } finally {
    await reader.close();
  }
}

/** The last of them ends with two hyphens more; white space may follow. */
function isDelimiter(line: string, boundary: string): boolean {
  return line.startsWith(`--${boundary}`) && /^(?:--)?[ \t]*$/.test(line.slice(2 + boundary.length));
}

async function readContentRange(reader: PartReader): Promise<string | null> {
  let contentRange: string | null = null;
  for (let line = await reader.line(); line !== ""; line = await reader.line()) {
    if (/^content-range:/i.test(line)) contentRange = line.slice("content-range:".length).trim();
  }
  return contentRange;
}

/** A body by lines and by lengths. */
class PartReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #unusable: (state: string) => Error;
  #rest: Uint8Array = new Uint8Array();
  #headBytes = 0;

  constructor(body: AsyncIterable<Uint8Array>, unusable: (state: string) => Error) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#unusable = unusable;
  }

  /** Without its end, which is CRLF, or that of the body. */
  async line(): Promise<string> {
    let text = "";
    for (;;) {
      const at = this.#rest.indexOf(0x0a);
      const part = this.#take(at < 0 ? this.#rest.length : at + 1);
      this.#headBytes += part.length;
      if (this.#headBytes > MAX_HEAD_BYTES) throw this.#unusable("the head of a part is too long");
      text += ascii.decode(part);
      if (at >= 0) return text.replace(/\r?\n$/, "");
      if (!(await this.#fill())) {
        if (text === "") throw this.#endsEarly();
        return text;
      }
    }
  }

  async *content({ offset, length }: BlobRange): AsyncGenerator<BlobPiece, void, undefined> {
    for (let done = 0; done < length;) {
      if (this.#rest.length === 0 && !(await this.#fill())) throw this.#endsEarly();
      const bytes = this.#take(Math.min(this.#rest.length, length - done));
      yield { offset: offset + done, bytes };
      done += bytes.length;
    }
    this.#headBytes = 0;
  }

  /** A body that has been read to its end leaves its connection to the next. */
  async end(): Promise<void> {
    await this.#fill();
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  #take(length: number): Uint8Array {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  async #fill(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#rest = next.value;
    return true;
  }

  #endsEarly(): Error {
    return this.#unusable("its last part ends early");
  }
}
