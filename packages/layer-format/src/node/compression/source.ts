/** A source whose first bytes can be seen before it is read. */
export interface Peekable {
  /** The first bytes, at least as many as asked for unless there are no more. */
  peek(bytes: number): Promise<Uint8Array>;
  /** All of its bytes. Rejects with `signal.reason` as soon as there is one, whatever the source does. */
  rest(): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
}

export function createPeekable(source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Peekable {
  const iterator = source[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array();
  let done = false;

  async function next(): Promise<Uint8Array | undefined> {
    const result = await abortable(iterator.next(), signal);
    done = result.done === true;
    return result.done === true ? undefined : result.value;
  }

  return {
    async peek(bytes) {
      while (head.length < bytes && !done) {
        const chunk = await next();
        // A copy in any case: a source may reuse its buffer.
        if (chunk !== undefined) head = Buffer.concat([head, chunk]);
      }
      return head;
    },
    async *rest() {
      if (head.length > 0) yield head;
      for (let chunk = done ? undefined : await next(); chunk !== undefined; chunk = await next()) {
        if (chunk.length > 0) yield chunk;
      }
    },
    async close() {
      if (!done) await iterator.return?.();
    },
  };
}

/** The promise's outcome, or `signal.reason` as soon as there is one. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    const settled = (): void => signal.removeEventListener("abort", abort);
    promise.then(resolve, reject).finally(settled).catch(settled);
  });
}
