import { rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { DatabaseError } from "@lamella/database";
import type { Database } from "@lamella/database";
import { RefsError } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import { recordImage } from "./database/images.js";
import type { StoreSchema } from "./database/schema.js";
import { setTag } from "./database/tags.js";
import { fileIdentity, readLayoutIndex, writeLayoutIndex } from "./layout-index.js";
import type { ListedManifest } from "./layout-index.js";
import { readPresent } from "./present.js";
import { systemFailure } from "./system-error.js";

/** Changes that follow each other closely are written together. */
const DELAY_MS = 50;

/** Keeps `index.json` at what the tags say. */
export interface LayoutSync {
  /** To be called after each commit that changed tags: writes soon. */
  changed(): void;
  /** Waits until the file is at what was committed before the call. Throws what writing it threw. */
  flush(options?: CallOptions): Promise<void>;
  /** The same, at the end. Whoever has only read is not told that there is no room for what others have changed. */
  close(): Promise<void>;
}

/** Brings tags and file together, then keeps the file at the tags. */
export async function startLayoutSync(
  { content, database }: LayoutStore,
  options: CallOptions = {},
): Promise<LayoutSync> {
  const store = { content, database };
  if (await isBehind(store, options)) await bringTogether(store, options).catch(unlessOutOfReach);
  let hasChanged = false;
  let hurry = new AbortController();
  let writing: Promise<void> | undefined;
  let isChanged = false;

  async function write(): Promise<void> {
    do {
      await sleep(DELAY_MS, undefined, { signal: hurry.signal }).catch(() => {});
      isChanged = false;
      await bringTogether(store, {});
    } while (isChanged);
  }

  async function flush({ signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    hurry.abort();
    try {
      await writing;
      if (await isBehind(store, { signal })) await bringTogether(store, { signal });
    } finally {
      hurry = new AbortController();
    }
  }

  return {
    changed() {
      isChanged = true;
      hasChanged = true;
      if (writing !== undefined) return;
      writing = write().finally(() => {
        writing = undefined;
      });
      // whoever flushes hears of a failure; if nobody does, the next to open the store writes the file
      writing.catch(() => {});
    },
    flush,
    close: () => (hasChanged ? flush() : flush().catch(unlessOutOfReach)),
  };
}

/** The file follows the names as soon as it can; until then reading goes on. */
function unlessOutOfReach(error: unknown): void {
  const isDatabase = error instanceof DatabaseError && ["no_space", "unavailable", "busy"].includes(error.code);
  if (!isDatabase && systemFailure(error) === undefined) throw error;
}

interface LayoutStore {
  readonly content: ContentStore;
  readonly database: Database<StoreSchema>;
}

function indexPath({ content }: LayoutStore): string {
  return join(content.directory, "index.json");
}

async function isBehind(store: LayoutStore, options: CallOptions): Promise<boolean> {
  const { wanted, written, file } = await readState(store, options);
  return wanted !== written || file === null || file !== (await fileIdentity(indexPath(store)));
}

async function readState(
  { database }: LayoutStore,
  options: CallOptions,
): Promise<{ wanted: number; written: number; file: string | null }> {
  return database.read(
    (queries) => queries.selectFrom("layout").select(["wanted", "written", "file"]).executeTakeFirstOrThrow(),
    options,
  );
}

/** Adopts what other tools have added to the file, and writes it where tags have changed. */
async function bringTogether(store: LayoutStore, options: CallOptions): Promise<void> {
  const { database } = store;
  const path = indexPath(store);
  await database.exclusively(
    "index.json",
    async () => {
      const state = await readState(store, options);
      const found = await fileIdentity(path);
      if (found !== undefined && found !== state.file) await adopt(store, await readOrSetAside(path), options);
      const { wanted, tags } = await database.read(async (queries) => {
        const layout = await queries.selectFrom("layout").select("wanted").executeTakeFirstOrThrow();
        const rows = await queries.selectFrom("tags").select(["name", "descriptor"]).orderBy("name").execute();
        return { wanted: layout.wanted, tags: rows };
      }, options);
      if (wanted === state.written && found !== undefined && found === state.file) return;
      await writeLayoutIndex(path, tags);
      const file = (await fileIdentity(path)) ?? null;
      await database.write(async (queries) => {
        await queries.updateTable("layout").set({ written: wanted, file }).execute();
        await queries.deleteFrom("removed_tags").where("wanted", "<=", wanted).execute();
      }, options);
    },
    options,
  );
}

/** The file can be made anew, so a damaged one stops nothing; it is kept for whoever wants to look. */
async function readOrSetAside(path: string): Promise<ListedManifest[]> {
  try {
    return (await readLayoutIndex(path)) ?? [];
  } catch (error) {
    if (!(error instanceof RefsError)) throw error;
    await rename(path, `${path}.damaged`);
    return [];
  }
}

/** Names that the store does not know become tags of it, with the images that are whole. */
async function adopt(store: LayoutStore, listed: readonly ListedManifest[], options: CallOptions): Promise<void> {
  const { content, database } = store;
  const known = await database.read(async (queries) => {
    const tags = await queries.selectFrom("tags").select("name").execute();
    const removed = await queries.selectFrom("removed_tags").select("name").execute();
    return new Set([...tags, ...removed].map(({ name }) => name));
  }, options);
  for (const { name, descriptor } of listed) {
    if (known.has(name)) continue;
    const { images } = await readPresent(content, descriptor, options);
    await database.write(async (queries) => {
      const isThere = await queries.selectFrom("tags").select("name").where("name", "=", name).executeTakeFirst();
      if (isThere !== undefined) return;
      await setTag(queries, { name, descriptor, scope: "local" });
      for (const image of images) await recordImage(queries, image);
    }, options);
  }
}
