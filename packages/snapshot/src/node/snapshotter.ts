import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";

import { type Database, isOwnerAlive, type Kysely, processOwner } from "@lamella/database";
import type { FileTree, Layer } from "@lamella/layer-format";
import { type CallOptions, quote } from "@lamella/refs";

import type { SnapshotDriver, SnapshotPlace } from "../driver.js";
import { SnapshotError } from "../errors.js";
import type { Mount } from "../mount.js";
import type {
  AppliedLayer,
  ApplyOptions,
  CommitOptions,
  Labels,
  SnapshotInfo,
  SnapshotOptions,
  Snapshotter,
  Usage,
  WalkOptions,
} from "../snapshotter.js";
import { parseFilters } from "./filter.js";
import {
  checkCommit,
  commitRow,
  deleteRow,
  finishRow,
  insertUnfinished,
  requireRow,
  UnfinishedRow,
  updateRow,
} from "./metadata-changes.js";
import {
  deleteUnfinished,
  findParentIds,
  findRow,
  findRowById,
  listIds,
  listRows,
  listUnfinished,
  rowInfo,
  type SnapshotRow,
} from "./metadata-rows.js";
import { METADATA_FILE, type MetadataSchema, openMetadata } from "./metadata.js";
import { listSnapshotDirectories, removeDirectory } from "./snapshot-directory.js";
import { checkLabels, checkName } from "./snapshot-name.js";

export interface CreateSnapshotterOptions extends CallOptions {
  /** How long a call may wait for the writes of other processes; 30 seconds by default. */
  busyTimeoutMs?: number | undefined;
}

const ROWS_A_PAGE = 256;

/**
 * Opens a directory of snapshots, or makes it: rows in `metadata.db`, what the driver keeps in `snapshots/<id>/`. Names are rows and never
 * paths. Any number of processes may have it open.
 *
 * A snapshot is there from the moment at which its directory is filled until its row is gone; what remains of a directory then, or of a
 * killed process, is removed by `cleanup`, which rejects with what keeps it from that.
 *
 * @throws {SnapshotError} `failed_precondition` if the snapshots are another driver's; {@link DatabaseError} as `openDatabase` does
 */
export async function createSnapshotter(
  directory: string,
  driver: SnapshotDriver,
  options: CreateSnapshotterOptions = {},
): Promise<Snapshotter> {
  const root = resolve(directory);
  const { busyTimeoutMs, signal } = options;
  const database = await openMetadata(join(root, METADATA_FILE), { driver: driver.name, busyTimeoutMs, signal });
  try {
    const snapshots = join(root, "snapshots");
    await mkdir(snapshots, { recursive: true });
    return new StoredSnapshotter({ database, driver, snapshots });
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

interface SnapshotStore {
  readonly database: Database<MetadataSchema>;
  readonly driver: SnapshotDriver;
  /** The directory of the snapshots' directories. */
  readonly snapshots: string;
}

class StoredSnapshotter implements Snapshotter {
  readonly #database: Database<MetadataSchema>;
  readonly #driver: SnapshotDriver;
  readonly #snapshots: string;
  readonly openChanges?: (name: string, options?: CallOptions) => Promise<Layer>;

  constructor({ database, driver, snapshots }: SnapshotStore) {
    this.#database = database;
    this.#driver = driver;
    this.#snapshots = snapshots;
    if (driver.openChanges !== undefined) {
      const open = driver.openChanges.bind(driver);
      this.openChanges = async (name, options = {}) =>
        this.#use("read", name, options, async (row) => open(await this.#place(row), options));
    }
  }

  async prepare(key: string, parent?: string, options: SnapshotOptions = {}): Promise<readonly Mount[]> {
    return this.#create("active", key, { ...options, parent });
  }

  async view(key: string, parent?: string, options: SnapshotOptions = {}): Promise<readonly Mount[]> {
    return this.#create("view", key, { ...options, parent });
  }

  async commit(name: string, key: string, options: CommitOptions = {}): Promise<void> {
    const { parent, labels = {}, signal } = options;
    signal?.throwIfAborted();
    checkName("commit", name);
    const change = {
      name,
      parent: parent === "" ? undefined : parent,
      labels: checkLabels(`commit snapshot ${quote(name)}`, labels),
    };
    const { row } = await this.#change((queries) => checkCommit(queries, key, change), { signal });
    await this.#alone(
      row,
      async () => {
        const { row: current, parentId } = await this.#change((queries) => checkCommit(queries, key, change), {
          signal,
        });
        if (current.id !== row.id) requireRow("commit", key, undefined);
        if (parentId !== row.parent_id && this.#driver.rebases === false) {
          throw new SnapshotError(
            "unsupported",
            `cannot commit snapshot ${quote(key)} on another parent: driver ${this.#driver.name} keeps whole trees`,
          );
        }
        const place = await this.#place({ ...row, parent_id: parentId });
        await this.#driver.commit(place, { signal });
        const usage = await this.#driver.usage(place, { signal });
        await this.#change((queries) => commitRow(queries, key, { ...change, id: row.id, usage }), { signal });
      },
      { signal },
    );
  }

  async mounts(key: string, options: CallOptions = {}): Promise<readonly Mount[]> {
    return this.#use("mount", key, options, async (row) => {
      if (row.kind === "committed") {
        throw new SnapshotError("failed_precondition", `cannot mount snapshot ${quote(key)}: it is committed`);
      }
      return this.#driver.mounts(await this.#place(row));
    });
  }

  async stat(name: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    return rowInfo(await this.#find("stat", name, options));
  }

  async update(
    name: string,
    change: { readonly labels: Labels },
    fieldPaths: readonly string[] = [],
    options: CallOptions = {},
  ): Promise<SnapshotInfo> {
    const { labels } = change;
    return rowInfo(await this.#change((queries) => updateRow(queries, name, { labels, fieldPaths }), options));
  }

  async usage(name: string, options: CallOptions = {}): Promise<Usage> {
    return this.#use("measure", name, options, async (row) => {
      const { bytes, inodes } = row;
      if (bytes !== null && inodes !== null) return { bytes, inodes };
      return this.#driver.usage(await this.#place(row), options);
    });
  }

  async *walk(options: WalkOptions = {}): AsyncGenerator<SnapshotInfo> {
    const { filters, signal } = options;
    signal?.throwIfAborted();
    const matches = parseFilters(filters);
    for (let after: string | undefined; ;) {
      const page = { after, limit: ROWS_A_PAGE };
      const rows = await this.#database.read((queries) => listRows(queries, page), { signal });
      for (const info of rows.map(rowInfo)) {
        signal?.throwIfAborted();
        if (matches(info)) yield info;
      }
      if (rows.length < ROWS_A_PAGE) return;
      after = rows.at(-1)?.name;
    }
  }

  async remove(name: string, options: CallOptions = {}): Promise<void> {
    const row = await this.#find("remove", name, options);
    const deletion = (): Promise<void> => this.#change((queries) => deleteRow(queries, name, row.id), options);
    await (row.kind === "active" ? this.#alone(row, deletion, options) : deletion());
    // The snapshot is gone: what keeps its directory is said by cleanup.
    await this.#discard(row.id).catch(() => undefined);
  }

  async cleanup(options: CallOptions = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    // Directories first: each of these had its row before, so that one without a row now has lost it.
    const there = await listSnapshotDirectories(this.#snapshots);
    for (const row of await this.#database.read(listUnfinished, { signal })) {
      if (await isAbandoned(row)) await this.#database.write((queries) => deleteUnfinished(queries, row), { signal });
    }
    const ids = await this.#database.read(listIds, { signal });
    for (const id of there) {
      if (!ids.has(id)) await this.#discard(id, { signal });
    }
  }

  async openTree(name: string, options: CallOptions = {}): Promise<FileTree> {
    return this.#use("read", name, options, async (row) => this.#driver.openTree(await this.#place(row), options));
  }

  async apply(key: string, tar: AsyncIterable<Uint8Array>, options: ApplyOptions = {}): Promise<AppliedLayer> {
    const { signal } = options;
    const row = await this.#find("apply a layer to", key, options);
    if (row.kind !== "active") {
      const kind = row.kind === "view" ? "a view" : "committed";
      throw new SnapshotError("failed_precondition", `cannot apply a layer to snapshot ${quote(key)}: it is ${kind}`);
    }
    const work = async (): Promise<AppliedLayer> => {
      const current = await this.#find("apply a layer to", key, { signal });
      if (current.id !== row.id) requireRow("apply a layer to", key, undefined);
      return this.#driver.apply(await this.#place(row), tar, options);
    };
    return this.#alone(row, work, { signal });
  }

  async exclusively<Result>(name: string, work: () => Promise<Result>, options: CallOptions = {}): Promise<Result> {
    return this.#database.exclusively(`work ${name}`, work, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }

  async #create(
    kind: "active" | "view",
    name: string,
    options: SnapshotOptions & { parent: string | undefined },
  ): Promise<readonly Mount[]> {
    const { labels = {}, signal } = options;
    signal?.throwIfAborted();
    checkName(kind === "view" ? "view" : "prepare", name);
    const parent = options.parent === "" ? undefined : options.parent;
    const snapshot = { name, kind, parent, labels, owner: await processOwner() };
    const row = await this.#change((queries) => insertUnfinished(queries, snapshot), { signal });
    try {
      const place = await this.#place(row);
      await mkdir(place.directory);
      await this.#driver.create(place, { signal });
      const mounts = await this.#driver.mounts(place);
      await this.#database.write((queries) => finishRow(queries, row), { signal });
      return mounts;
    } catch (error) {
      // The first error is the one to be told; what cannot be taken back now is cleanup's when this process has ended.
      const takingBack = this.#database.write((queries) => deleteUnfinished(queries, row));
      await takingBack.then(() => this.#discard(row.id)).catch(() => undefined);
      throw error;
    }
  }

  /** A write that is tried again without rows of dead processes. */
  async #change<Result>(
    work: (queries: Kysely<MetadataSchema>) => Promise<Result>,
    options: CallOptions,
  ): Promise<Result> {
    for (;;) {
      try {
        return await this.#database.write(work, { signal: options.signal });
      } catch (error) {
        if (!(error instanceof UnfinishedRow)) throw error;
        const { row, refusal } = error;
        if (!(await isAbandoned(row))) throw refusal;
        await this.#database.write((queries) => deleteUnfinished(queries, row));
      }
    }
  }

  async #find(act: string, name: string, { signal }: CallOptions): Promise<SnapshotRow> {
    signal?.throwIfAborted();
    return requireRow(act, name, await this.#database.read((queries) => findRow(queries, name), { signal }));
  }

  /** Reads what a snapshot has on disk; if that fails because it was removed meanwhile, there is none. */
  async #use<Result>(
    act: string,
    name: string,
    options: CallOptions,
    work: (row: SnapshotRow) => Promise<Result>,
  ): Promise<Result> {
    const row = await this.#find(act, name, options);
    try {
      return await work(row);
    } catch (error) {
      options.signal?.throwIfAborted();
      const current = await this.#database.read((queries) => findRowById(queries, row.id));
      requireRow(act, name, current);
      throw error;
    }
  }

  /** Changes of one snapshot follow each other, whichever processes make them. */
  async #alone<Result>(row: SnapshotRow, work: () => Promise<Result>, { signal }: CallOptions): Promise<Result> {
    return this.#database.exclusively(`snapshot ${row.id}`, work, { signal });
  }

  async #place({ id, kind, parent_id }: SnapshotRow): Promise<SnapshotPlace> {
    const parents = await this.#database.read((queries) => findParentIds(queries, parent_id));
    return {
      id: String(id),
      directory: this.#directory(id),
      kind,
      parents: parents.map((parent) => this.#directory(parent)),
    };
  }

  #directory(id: number): string {
    return join(this.#snapshots, String(id));
  }

  async #discard(id: number, options: CallOptions = {}): Promise<void> {
    const directory = this.#directory(id);
    await this.#driver.release?.({ id: String(id), directory, kind: "active", parents: [] });
    await removeDirectory(directory, options);
  }
}

async function isAbandoned({ owner }: SnapshotRow): Promise<boolean> {
  return owner === null || !(await isOwnerAlive(owner));
}
