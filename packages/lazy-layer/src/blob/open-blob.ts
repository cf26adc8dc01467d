import { setMaxListeners } from "node:events";

import type { BlobRange, CallOptions, Descriptor, Fetcher, RangeFetcher } from "@lamella/refs";

import type { BlobReader, BlobReadOptions, ReadPriority } from "../blob-reader.js";
import { endOf } from "../cache/extent-list.js";
import type { CachedBlob } from "../cache/cached-blob.js";
import { LazyLayerError } from "../errors.js";
import type { Scheduler } from "../scheduler.js";
import { createReadAhead, type ReadAhead } from "./read-ahead.js";
import { RangeFetch } from "./range-fetch.js";
import { type RequestLimit, startRequestLimit } from "./request-limit.js";
import { LEAST_BYTES, PIECE_BYTES, RequestRanges } from "./request-ranges.js";
import { WholeStream } from "./whole-stream.js";

/** Where blobs come from: a repository of a registry. */
export type BlobSource = Fetcher & RangeFetcher;

export interface OpenBlobOptions {
  readonly source: BlobSource;
  readonly descriptor: Descriptor;
  readonly cached: CachedBlob;
  readonly scheduler: Scheduler;
  readonly timeoutMs: number;
}

/** What is handed out at a time from the cache. */
const READ_BYTES = 2 ** 20;

/** A {@link BlobReader} over a cache and a registry. */
export class OpenBlob implements BlobReader {
  readonly descriptor: Descriptor;
  readonly size: number;
  /** Set when the registry turned out not to answer ranges. */
  #stream: WholeStream | undefined;
  /** Unset when it turned out not to answer several at once. */
  #answersSeveral = true;
  #source: BlobSource;
  readonly #cached: CachedBlob;
  readonly #scheduler: Scheduler;
  readonly #timeoutMs: number;
  readonly #ahead: ReadAhead = createReadAhead({ leastBytes: LEAST_BYTES, mostBytes: PIECE_BYTES });
  /** Of ranges that do not overlap. */
  readonly #fetches = new Set<RangeFetch>();
  readonly #ranges: RequestRanges;
  readonly #settling = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #fetchedBytes = 0;
  #readTime: Date | undefined;
  #lastError: unknown;

  constructor({ source, descriptor, cached, scheduler, timeoutMs }: OpenBlobOptions) {
    this.descriptor = descriptor;
    this.size = descriptor.size;
    this.#source = source;
    this.#cached = cached;
    this.#scheduler = scheduler;
    this.#timeoutMs = timeoutMs;
    this.#ranges = new RequestRanges(this.size, cached, this.#fetches);
    // each request for several ranges has one
    setMaxListeners(0, this.#closing.signal);
  }

  /** Bytes that are in the cache. */
  get heldBytes(): number {
    return this.#cached.heldBytes();
  }

  /** Bytes that this reader has asked the registry for, and got. */
  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /** What the last request failed with; undefined once another one has succeeded. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** When somebody asked for some of it last. */
  get readTime(): Date | undefined {
    return this.#readTime;
  }

  get source(): BlobSource {
    return this.#source;
  }

  noteRead(): void {
    this.#readTime = new Date();
  }

  async *read(offset: number, length: number, options: BlobReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal, priority = "demand" } = options;
    signal?.throwIfAborted();
    this.#checkRange(offset, length);
    const end = offset + length;
    if (priority === "demand") this.noteRead();
    const windowBytes = priority === "demand" ? this.#ahead.note(offset, length) : 0;
    let position = offset;
    while (position < end) {
      signal?.throwIfAborted();
      this.#checkOpen();
      const bytes = (await this.#readHeld(position, end)) ?? (await this.#readFetched(position, end, priority, signal));
      if (position === offset) this.#fetchAhead(end, windowBytes);
      position += bytes.length;
      if (bytes.length > 0) yield bytes;
    }
  }

  /** What is neither there nor on its way of the bytes before `end`: ranges together that one request may bring, of at most 4 MiB in all. */
  missing(end: number): Iterable<readonly BlobRange[]> {
    return this.#ranges.missing(end);
  }

  /** Has several ranges on their way with one request, for later, where the registry answers that; who reads them meanwhile waits for it. */
  async fetchTogether(ranges: readonly BlobRange[]): Promise<void> {
    await this.#cached.refresh();
    this.#checkOpen();
    if (this.#stream !== undefined || !this.#answersSeveral || this.#source.fetchRanges === undefined) return;
    const missing = ranges.filter((range) => this.#ranges.isMissing(range));
    if (missing.length > 1) this.#startTogether(missing);
  }

  /** Until what is on its way now has come and been kept, or not. */
  async settled(): Promise<void> {
    await Promise.all(this.#settling);
  }

  async drop(offset: number, length: number): Promise<void> {
    const dropped = [...this.#fetches].filter((fetch) => fetch.offset < offset + length && endOf(fetch) > offset);
    for (const fetch of dropped) {
      fetch.isDropped = true;
      this.#fetches.delete(fetch);
    }
    // What is being kept just now would be there again afterwards.
    await Promise.all(dropped.flatMap(({ keeping }) => keeping ?? []));
    await this.#cached.drop({ offset, length });
  }

  /** From now on another source is asked; what was wrong with the earlier one is forgotten. */
  use(source: BlobSource): void {
    this.#source = source;
    this.#stream = undefined;
    this.#answersSeveral = true;
    this.#lastError = undefined;
  }

  /** Asks the registry for one byte, whatever is in the cache. @throws {LazyLayerError} `timeout`, `unavailable` */
  async probe(source: BlobSource, { signal }: CallOptions): Promise<void> {
    signal?.throwIfAborted();
    if (this.size === 0) return;
    const fetch = new RangeFetch({ offset: 0, length: 1 }, false);
    const abort = (): void => fetch.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await this.#request(fetch, source);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isRangeUnusable(error)) throw this.#toError(error, fetch);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Ends what is under way, and waits until it has. */
  async close(): Promise<void> {
    const error = new LazyLayerError("closed", `cannot read blob ${this.descriptor.digest}: it is closed`);
    this.#closing.abort(error);
    for (const fetch of this.#fetches) fetch.abort(error);
    this.#stream?.abort(error);
    await Promise.all(this.#settling);
    await this.#stream?.ended;
    await this.#cached.close();
  }

  async #readHeld(position: number, end: number): Promise<Uint8Array | undefined> {
    for (let extent = this.#cached.covering(position); extent !== undefined; extent = this.#cached.covering(position)) {
      const length = Math.min(end, endOf(extent), position + READ_BYTES) - position;
      const bytes = await this.#cached.read(extent, position, length);
      if (bytes !== undefined) return bytes;
    }
    return undefined;
  }

  async #readFetched(
    position: number,
    end: number,
    priority: ReadPriority,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const stream = this.#stream;
    let fetch = this.#ranges.fetchOf(position);
    if (fetch === undefined) {
      await this.#cached.refresh();
      if (this.#cached.covering(position) !== undefined) return new Uint8Array();
      // Somebody else may have begun it meanwhile.
      fetch = this.#ranges.fetchOf(position);
    }
    try {
      fetch ??= await this.#begin(position, end, priority, signal);
      if (priority === "demand") fetch.promote();
      this.#fetchNext(fetch, end, priority);
      return await fetch.take(position, end, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      // of several who waited for it, one has opened the stream
      if (stream === undefined && isRangeUnusable(error)) {
        this.#stream ??= this.#openStream();
        return new Uint8Array();
      }
      throw this.#toError(error, { offset: position, length: end - position });
    }
  }

  /** The fetch of a range around a position, which nothing that is there or on its way covers. */
  async #begin(
    position: number,
    end: number,
    priority: ReadPriority,
    signal: AbortSignal | undefined,
  ): Promise<RangeFetch> {
    // It may have been closed while the directory was listed.
    this.#checkOpen();
    if (this.#stream !== undefined) return this.#stream.piece(position, { signal });
    return this.#start(this.#ranges.around(position, end), priority, false);
  }

  #start(range: BlobRange, priority: ReadPriority, isForLater: boolean): RangeFetch {
    const fetch = new RangeFetch(range, isForLater);
    const act = this.#actOf(fetch);
    this.#run([fetch], () => this.#request(fetch, this.#source), { act, priority, signal: fetch.signal });
    return fetch;
  }

  #startTogether(ranges: readonly BlobRange[]): void {
    const fetches = ranges.map((range) => new RangeFetch(range, true));
    const act = `read ${fetches.length} ranges of ${this.descriptor.digest}`;
    this.#run(fetches, () => this.#requestTogether(fetches, { act, source: this.#source }), {
      act,
      priority: "background",
      signal: this.#closing.signal,
    });
  }

  /** Has the work that brings some fetches wait for its turn. */
  #run(
    fetches: readonly RangeFetch[],
    work: () => Promise<void>,
    { act, priority, signal }: { act: string; priority: ReadPriority; signal: AbortSignal },
  ): void {
    const patience = { ms: this.#timeoutMs, act };
    const { result, promote } = this.#scheduler.run(work, { priority, patience, signal });
    for (const fetch of fetches) {
      this.#fetches.add(fetch);
      fetch.promote = promote;
      void this.#untilSettled(this.#settle(fetch, result));
    }
  }

  async #untilSettled<Result>(work: Promise<Result>): Promise<Result> {
    this.#settling.add(work);
    try {
      return await work;
    } finally {
      this.#settling.delete(work);
    }
  }

  async #settle(fetch: RangeFetch, result: Promise<void>): Promise<void> {
    try {
      await result;
      this.#lastError = undefined;
    } catch (error) {
      this.#lastError = error;
      fetch.fail(error);
    }
    // What came before a failure is good for the next try.
    await this.#keep(fetch);
  }

  /** False if it was not kept. */
  async #keep(fetch: RangeFetch): Promise<boolean> {
    fetch.keeping = fetch.isDropped ? Promise.resolve(true) : this.#cached.write(fetch.offset, fetch.bytes);
    const isKept = await fetch.keeping;
    this.#fetches.delete(fetch);
    return isKept;
  }

  /** What a request for all of them does not bring, others bring one by one. */
  async #requestTogether(
    fetches: readonly RangeFetch[],
    { act, source }: { act: string; source: BlobSource },
  ): Promise<void> {
    const length = fetches.reduce((bytes, fetch) => bytes + fetch.length, 0);
    const limit = startRequestLimit(act, length, { timeoutMs: this.#timeoutMs, signal: this.#closing.signal });
    try {
      for await (const { offset, bytes } of source.fetchRanges?.(this.descriptor, fetches, limit) ?? []) {
        this.#noteFetched(bytes.length, limit);
        fetches.find(({ reached }) => reached === offset)?.push(bytes);
      }
    } catch (error) {
      limit.signal.throwIfAborted();
      if (isRangeUnusable(error)) this.#answersSeveral = false;
    } finally {
      limit.end();
    }
    for (const fetch of fetches) if (!fetch.isWhole) await this.#request(fetch, source);
  }

  /** Asks for what is missing of a fetch. */
  async #request(fetch: RangeFetch, source: BlobSource): Promise<void> {
    const offset = fetch.reached;
    const length = endOf(fetch) - offset;
    const limit = startRequestLimit(this.#actOf(fetch), length, { timeoutMs: this.#timeoutMs, signal: fetch.signal });
    try {
      for await (const chunk of source.fetchRange(this.descriptor, { offset, length }, { signal: limit.signal })) {
        this.#noteFetched(chunk.length, limit);
        if (fetch.push(chunk).length > 0) throw this.#wrongSize(fetch);
      }
      limit.signal.throwIfAborted();
      if (!fetch.isWhole) throw this.#wrongSize(fetch);
    } catch (error) {
      throw limit.signal.aborted ? limit.signal.reason : error;
    } finally {
      limit.end();
    }
  }

  #noteFetched(bytes: number, limit: RequestLimit): void {
    limit.progress(bytes);
    this.#scheduler.progress();
    this.#fetchedBytes += bytes;
  }

  /** Has the next piece of a long read on its way while this one comes. */
  #fetchNext(fetch: RangeFetch, end: number, priority: ReadPriority): void {
    const next = this.#stream === undefined ? this.#ranges.next(fetch, end) : undefined;
    if (next !== undefined) this.#start(next, priority, true);
  }

  #fetchAhead(end: number, windowBytes: number): void {
    if (this.#closing.signal.aborted || this.#stream !== undefined) return;
    const ahead = this.#ranges.ahead(end, windowBytes);
    if (ahead !== undefined) this.#start(ahead, "background", true);
  }

  #openStream(): WholeStream {
    const { descriptor, size } = this;
    return new WholeStream({
      size,
      pieceBytes: PIECE_BYTES,
      open: (signal) => this.#source.fetch(descriptor, { signal }),
      run: (work, signal) => {
        const patience = { ms: this.#timeoutMs, act: `read ${descriptor.digest}` };
        return this.#scheduler.run(work, { priority: "demand", patience, signal }).result;
      },
      limit: (signal) => startRequestLimit(`read ${descriptor.digest}`, size, { timeoutMs: this.#timeoutMs, signal }),
      begin: (piece) => this.#fetches.add(piece),
      progress: () => this.#scheduler.progress(),
      end: (piece) => {
        this.#fetchedBytes += piece.bytes.length;
        return this.#untilSettled(this.#keep(piece));
      },
      wrong: () => this.drop(0, size),
    });
  }

  #checkOpen(): void {
    this.#closing.signal.throwIfAborted();
  }

  #checkRange(offset: number, length: number): void {
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (isRange && offset + length <= this.size) return;
    const state = `${length} bytes at ${offset} are not within its ${this.size} bytes`;
    throw new RangeError(`cannot read blob ${this.descriptor.digest}: ${state}`);
  }

  #actOf({ offset, length }: BlobRange): string {
    return `read ${length} bytes at ${offset} of ${this.descriptor.digest}`;
  }

  #wrongSize(range: BlobRange): LazyLayerError {
    return new LazyLayerError("unavailable", `cannot ${this.#actOf(range)}: the source gave more or less`);
  }

  #toError(error: unknown, range: BlobRange): unknown {
    if (error instanceof LazyLayerError) return error;
    const state = error instanceof Error ? error.message : String(error);
    return new LazyLayerError("unavailable", `cannot ${this.#actOf(range)}: ${state}`, { cause: error });
  }
}

function isRangeUnusable(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "range_unusable";
}
