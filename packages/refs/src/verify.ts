import type { CallOptions } from "./capabilities.js";
import type { Descriptor } from "./descriptor.js";
import { createDigester, digestAlgorithm } from "./digest.js";
import { RefsError } from "./errors.js";

type Promised = Pick<Descriptor, "digest" | "size">;

/**
 * Passes untrusted content through, counting and hashing. What came before the end is only trusted once the end was reached:
 * a reader that keeps anything must be able to throw it away.
 *
 * @throws {RefsError} `size_mismatch` before the first chunk that is too long is passed on, and at the end of a body that is too short;
 * `digest_mismatch` at the end.
 */
export async function* verifyContent(
  descriptor: Promised,
  source: AsyncIterable<Uint8Array>,
  options: CallOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { digest, size } = descriptor;
  options.signal?.throwIfAborted();
  const digester = createDigester(digestAlgorithm(digest));
  let received = 0;
  for await (const chunk of source) {
    options.signal?.throwIfAborted();
    received += chunk.byteLength;
    if (received > size) {
      throw new RefsError("size_mismatch", `cannot verify ${digest}: the body is longer than its ${size} bytes`);
    }
    digester.update(chunk);
    yield chunk;
  }
  options.signal?.throwIfAborted();
  if (received < size) {
    throw new RefsError("size_mismatch", `cannot verify ${digest}: the body ends after ${received} of ${size} bytes`);
  }
  const actual = digester.digest();
  if (actual !== digest) {
    throw new RefsError("digest_mismatch", `cannot verify ${digest}: the body's digest is ${actual}`);
  }
}

/**
 * Reads a small content into memory, verified.
 * @throws {RefsError} `document_too_large` before anything is read, when the descriptor promises more than `limitBytes`;
 * `size_mismatch`, `digest_mismatch`.
 */
export async function collectContent(
  descriptor: Promised,
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
  options: CallOptions = {},
): Promise<Uint8Array> {
  options.signal?.throwIfAborted();
  const { digest, size } = descriptor;
  if (size > limitBytes) {
    throw new RefsError(
      "document_too_large",
      `cannot read ${digest}: it has ${size} bytes, the limit is ${limitBytes}`,
    );
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for await (const chunk of verifyContent(descriptor, source, options)) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}
