import { randomUUID } from "node:crypto";

import { DatabaseError, processOwner } from "@lamella/database";
import type { Transaction } from "@lamella/database";
import { LamellaError } from "@lamella/refs";
import type { CallOptions, Digest } from "@lamella/refs";
import PQueue from "p-queue";

import {
  beginBuild,
  buildOf,
  cancelBuild,
  changeBuild,
  isUnfinished,
  listOwn,
  listOwners,
  ownerOf,
  passBuilds,
  positionOf,
  putBuild,
} from "./build-queue-rows.js";
import type { BegunBuild, Build, BuildAttempt, BuildRequest, BuildRow, OwnBuild } from "./build-queue-rows.js";
import type { StoreSchema } from "./database/schema.js";
import { ImageStoreError } from "./errors.js";
import { inPassing } from "./hooks.js";
import type { QueueState } from "./hooks.js";
import type { ImageStore } from "./image-store.js";

/**
 * Builds, a few at a time, first come first served. They are rows of the store's database, so that none is lost: what a queue has not ended when it
 * is closed or its process dies waits for `recover`, by the next queue of this process or any other.
 */
export interface BuildQueue extends QueueState, AsyncDisposable {
  /** How many are built at once. */
  readonly limit: number;
  /** `active` and `pending` together. */
  readonly length: number;
  /**
   * Puts a build at the end. What is asked for again before it has ended is the same build; what has ended is built again, but for what is ready
   * and not among `stale`: somebody has just made it.
   * @throws {ImageStoreError} `closed`
   */
  enqueue(request: BuildRequest, options?: EnqueueOptions): Promise<Build>;
  /** 0 once it has begun, 1 for the next; undefined once it has ended. That of another process's queue too. */
  position(id: number, options?: CallOptions): Promise<number | undefined>;
  /** Those of all builds of this queue that have not ended. */
  positions(): ReadonlyMap<number, number>;
  /** Ends a build, one of another process at its next step. False for one that has ended already. */
  cancel(id: number, options?: CallOptions): Promise<boolean>;
  /** Takes over the builds of queues that are gone, and gives them. */
  recover(options?: CallOptions): Promise<Build[]>;
  /**
   * Looks after a build that somebody waits for: takes it over, with all of its queue, if that is gone.
   * @throws {DatabaseError} what kept this queue from going on with it; `recover` tries again
   */
  attend(id: number, options?: CallOptions): Promise<void>;
  /** Waits until nothing is under way in this process, and nothing waits. */
  idle(): Promise<void>;
}

interface EnqueueOptions extends CallOptions {
  /** The ready builds that are to be made again; all by default. */
  stale?: readonly BuildAttempt[] | undefined;
}

/** What a build's work says of itself. Each throws `build_cancelled` once the build is not this queue's any more. */
export interface BuildRun {
  readonly build: Build;
  readonly signal: AbortSignal;
  /** Its image and disks are known. */
  resolved(known: { manifestDigest: Digest; diskKey: string | undefined }): Promise<void>;
  converting(): Promise<void>;
  /** The end, in the same transaction in which the image is recorded. */
  ready(queries: Transaction<StoreSchema>): Promise<void>;
}

export interface BuildQueueOptions extends CallOptions {
  /** How many are built at once; 2 by default. */
  limit?: number | undefined;
  /** Builds one. It ends with `ready`, or rejects. */
  work: (run: BuildRun) => Promise<void>;
  onBuild?: ((build: Build) => void) | undefined;
  onQueue?: ((state: QueueState) => void) | undefined;
}

export async function openBuildQueue(store: ImageStore, options: BuildQueueOptions): Promise<BuildQueue> {
  const queue = new DurableQueue(store, `${await processOwner()}:${randomUUID()}`, options);
  await queue.open(options);
  return queue;
}

class DurableQueue implements BuildQueue {
  readonly limit: number;
  readonly #store: ImageStore;
  readonly #owner: string;
  readonly #options: BuildQueueOptions;
  readonly #queue: PQueue;
  readonly #waiting = new Set<number>();
  readonly #running = new Map<number, AbortController>();
  /** Builds that were cancelled and asked for again before their work has stopped. */
  readonly #again = new Map<number, BuildRow>();
  /** Builds of ours that stand still, and why. */
  readonly #stranded = new Map<number, DatabaseError>();
  #release: () => void = () => {};
  #claim: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(store: ImageStore, owner: string, options: BuildQueueOptions) {
    this.limit = options.limit ?? 2;
    this.#store = store;
    this.#owner = owner;
    this.#options = options;
    this.#queue = new PQueue({ concurrency: this.limit });
  }

  get active(): number {
    return this.#running.size;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  get length(): number {
    return this.active + this.pending;
  }

  /** The claim says, to all processes, that the queue lives. */
  async open(options: CallOptions): Promise<void> {
    const ended = new Promise<void>((resolve) => (this.#release = resolve));
    await new Promise<void>((taken, failed) => {
      const work = (): Promise<void> => {
        taken();
        return ended;
      };
      this.#claim = this.#store.database.exclusively(claimOf(this.#owner), work, { signal: options.signal });
      this.#claim.catch(failed);
    });
  }

  async enqueue(request: BuildRequest, { stale, ...options }: EnqueueOptions = {}): Promise<Build> {
    this.#requireOpen();
    const { database } = this.#store;
    const row = await database.write((queries) => putBuild(queries, request, this.#owner, stale), options);
    if (row.owner === this.#owner) this.#add(row);
    else if (isUnfinished(row.status)) await this.#takeOver(row.owner, options);
    return buildOf(row);
  }

  async position(id: number, options: CallOptions = {}): Promise<number | undefined> {
    options.signal?.throwIfAborted();
    if (this.#running.has(id)) return 0;
    const index = [...this.#waiting].indexOf(id);
    return index < 0 ? this.#store.database.read((queries) => positionOf(queries, id), options) : index + 1;
  }

  positions(): ReadonlyMap<number, number> {
    const waiting = [...this.#waiting].map((id, index) => [id, index + 1] as const);
    return new Map([...[...this.#running.keys()].map((id) => [id, 0] as const), ...waiting]);
  }

  async cancel(id: number, options: CallOptions = {}): Promise<boolean> {
    const row = await this.#store.database.write((queries) => cancelBuild(queries, id), options);
    if (row === undefined) return false;
    this.#tell(row);
    if (this.#waiting.delete(id)) this.#tellState();
    this.#running.get(id)?.abort(cancelled(row));
    return true;
  }

  async recover(options: CallOptions = {}): Promise<Build[]> {
    this.#requireOpen();
    const taken: Build[] = [];
    for (const owner of await this.#store.database.read(listOwners, options)) {
      taken.push(...(owner === this.#owner ? await this.#pickUp(options) : await this.#takeOver(owner, options)));
    }
    return taken;
  }

  async attend(id: number, options: CallOptions = {}): Promise<void> {
    const stranded = this.#stranded.get(id);
    if (stranded !== undefined) throw stranded;
    const owner = await this.#store.database.read((queries) => ownerOf(queries, id), options);
    if (owner !== undefined && owner !== this.#owner && this.#closing === undefined) {
      await this.#takeOver(owner, options);
    }
  }

  idle(): Promise<void> {
    return this.#queue.onIdle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#queue.clear();
    this.#waiting.clear();
    for (const controller of this.#running.values()) controller.abort(closed());
    await this.#queue.onIdle();
    try {
      await this.#store.database.write((queries) => passBuilds(queries, this.#owner, null));
    } finally {
      this.#release();
      await this.#claim;
    }
  }

  /** What is ours but was dropped when the database was out of reach. */
  async #pickUp(options: CallOptions): Promise<Build[]> {
    const rows = await this.#store.database.read((queries) => listOwn(queries, this.#owner), options);
    const dropped = rows.filter(({ id }) => !this.#waiting.has(id) && !this.#running.has(id));
    for (const row of dropped) this.#add(row);
    return dropped.map(buildOf);
  }

  /** Takes the builds of a queue, if it is gone. */
  async #takeOver(owner: string | null, options: CallOptions): Promise<Build[]> {
    const take = async (): Promise<Build[]> => {
      const rows = await this.#store.database.write((queries) => passBuilds(queries, owner, this.#owner), options);
      for (const row of rows) this.#add(row);
      return rows.map(buildOf);
    };
    if (owner === null) return take();
    try {
      return await this.#store.database.exclusively(claimOf(owner), take, { ...options, timeoutMs: 0 });
    } catch (error) {
      if (error instanceof DatabaseError && error.code === "busy") return [];
      throw error;
    }
  }

  #add(row: BuildRow): void {
    const { id } = row;
    // a queue that was closed meanwhile passes it on
    if (this.#closing !== undefined || this.#waiting.has(id)) return;
    if (this.#running.has(id)) {
      if (row.status === "pending") this.#again.set(id, row);
      return;
    }
    this.#stranded.delete(id);
    this.#waiting.add(id);
    this.#tell(row);
    void this.#queue.add(() => this.#run({ id, owner: this.#owner }));
    this.#tellState();
  }

  async #run(own: OwnBuild): Promise<void> {
    if (!this.#waiting.delete(own.id)) return;
    const controller = new AbortController();
    this.#running.set(own.id, controller);
    this.#tellState();
    try {
      await this.#build(own, controller.signal);
    } catch (error) {
      // the database is out of reach: the build stays as it is, for `recover`
      if (!(error instanceof DatabaseError)) throw error;
      this.#stranded.set(own.id, error);
    } finally {
      this.#running.delete(own.id);
      this.#tellState();
      const again = this.#again.get(own.id);
      this.#again.delete(own.id);
      if (again !== undefined) this.#add(again);
    }
  }

  async #build(own: OwnBuild, signal: AbortSignal): Promise<void> {
    const { database } = this.#store;
    const row = await database.write((queries) => beginBuild(queries, own));
    if (row === undefined) return;
    this.#tell(row);
    const begun = { ...own, attempts: row.attempts };
    try {
      signal.throwIfAborted();
      await this.#options.work(this.#runOf(row, begun, signal));
      await this.#tellNow(own.id);
    } catch (error) {
      if (this.#closing !== undefined) return;
      const change = { status: "failed", error: messageOf(error), error_code: codeOf(error) } as const;
      if (await database.write((queries) => changeBuild(queries, begun, change))) await this.#tellNow(own.id);
    }
  }

  #runOf(row: BuildRow, begun: BegunBuild, signal: AbortSignal): BuildRun {
    const change = async (queries: Transaction<StoreSchema>, to: Parameters<typeof changeBuild>[2]): Promise<void> => {
      if (!(await changeBuild(queries, begun, to))) throw cancelled(row);
    };
    const { database } = this.#store;
    return {
      build: buildOf(row),
      signal,
      resolved: ({ manifestDigest, diskKey = null }) =>
        database.write((queries) => change(queries, { manifest_digest: manifestDigest, disk_key: diskKey }), {
          signal,
        }),
      converting: async () => {
        await database.write((queries) => change(queries, { status: "converting" }), { signal });
        await this.#tellNow(row.id);
      },
      ready: (queries) => change(queries, { status: "ready" }),
    };
  }

  async #tellNow(id: number): Promise<void> {
    if (this.#options.onBuild === undefined) return;
    const row = await this.#store.database.read((queries) =>
      queries.selectFrom("builds").selectAll().where("id", "=", id).executeTakeFirst(),
    );
    if (row !== undefined) this.#tell(row);
  }

  #tell(row: BuildRow): void {
    inPassing(() => this.#options.onBuild?.(buildOf(row)));
  }

  #tellState(): void {
    inPassing(() => this.#options.onQueue?.({ active: this.active, pending: this.pending }));
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw closed();
  }
}

function claimOf(owner: string): string {
  return `builds of ${owner}`;
}

function cancelled({ id, name }: BuildRow): ImageStoreError {
  return new ImageStoreError("build_cancelled", `cannot go on with build ${id} of ${name}: it was cancelled`);
}

function closed(): ImageStoreError {
  return new ImageStoreError("closed", "cannot build images: the queue is closed");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): string | null {
  return error instanceof LamellaError ? error.code : null;
}
