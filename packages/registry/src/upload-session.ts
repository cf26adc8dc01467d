import type { CallOptions, Digest } from "@lamella/refs";
import { createDigester, digestAlgorithm } from "@lamella/refs";

import { RegistryError } from "./errors.js";
import type { AppendOptions, Upload } from "./storage.js";

/** Where the bytes of one upload go. Calls never overlap, and nothing follows `commit` or `discard`. */
export interface UploadSink {
  /** Takes all of the bytes or throws. The chunk may be used anew afterwards. */
  write(bytes: Uint8Array): Promise<void>;
  /** Everything that was written, from its beginning. */
  read(options?: CallOptions): AsyncIterable<Uint8Array>;
  /** Makes the bytes, which have that digest, a blob: durably, atomically, whether or not it exists; then frees the rest. */
  commit(digest: Digest): Promise<void>;
  /** Frees everything, also after a `write` or `commit` that failed. */
  discard(): Promise<void>;
}

/** One upload over its sink: turns, the running digest, and an end that comes once. */
export class UploadSession implements Upload {
  readonly id: string = globalThis.crypto.randomUUID();
  readonly repository: string;
  readonly #sink: UploadSink;
  readonly #onEnd: (session: UploadSession) => void;
  readonly #sha256 = createDigester("sha256");
  #size = 0;
  #ended = false;
  #turn: Promise<unknown> | undefined;

  constructor(repository: string, sink: UploadSink, onEnd: (session: UploadSession) => void) {
    this.repository = repository;
    this.#sink = sink;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#size;
  }

  get busy(): boolean {
    return this.#turn !== undefined;
  }

  append(bytes: AsyncIterable<Uint8Array>, { offset, signal }: AppendOptions): Promise<void> {
    return this.#takeTurn(signal, async () => {
      if (offset !== this.#size) {
        const state = `it has ${this.#size} bytes`;
        throw new RegistryError("range_invalid", `cannot append to upload ${this.id} at byte ${offset}: ${state}`);
      }
      for await (const chunk of bytes) {
        signal?.throwIfAborted();
        await this.#orEnd(() => this.#sink.write(chunk));
        this.#sha256.update(chunk);
        this.#size += chunk.length;
      }
      signal?.throwIfAborted();
    });
  }

  commit(digest: Digest, { signal }: CallOptions = {}): Promise<void> {
    return this.#takeTurn(signal, async () => {
      const actual = await this.#digestAs(digest, signal);
      if (actual !== digest) {
        await this.#end();
        throw new RegistryError(
          "digest_mismatch",
          `cannot commit upload ${this.id} as ${digest}: its digest is ${actual}`,
        );
      }
      await this.#orEnd(() => this.#sink.commit(digest));
      this.#ended = true;
      this.#onEnd(this);
    });
  }

  abort({ signal }: CallOptions = {}): Promise<void> {
    return this.#takeTurn(signal, () => this.#end());
  }

  /** Ends the upload, if it has not ended, as soon as nobody is using it. */
  async discard(): Promise<void> {
    this.#onEnd(this);
    await this.#turn?.catch(() => undefined);
    await this.#end();
  }

  async #takeTurn(signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    signal?.throwIfAborted();
    if (this.#ended) throw new RegistryError("upload_unknown", `cannot use upload ${this.id}: it has ended`);
    if (this.busy) throw new RegistryError("upload_busy", `cannot use upload ${this.id}: another request is using it`);
    this.#turn = work();
    try {
      await this.#turn;
    } finally {
      this.#turn = undefined;
    }
  }

  /** Which algorithm an upload needs is known only at its end, so the usual one is counted along and others read again. */
  async #digestAs(digest: Digest, signal: AbortSignal | undefined): Promise<Digest> {
    const algorithm = digestAlgorithm(digest);
    if (algorithm === "sha256") return this.#sha256.digest();
    const digester = createDigester(algorithm);
    for await (const chunk of this.#sink.read({ signal })) {
      signal?.throwIfAborted();
      digester.update(chunk);
    }
    return digester.digest();
  }

  /** After a failure of the sink nobody knows what it holds: such an upload cannot go on. */
  async #orEnd(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  async #end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(this);
    await this.#sink.discard();
  }
}
