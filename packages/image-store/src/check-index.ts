import { join } from "node:path";

import { RefsError } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import { ImageStoreError } from "./errors.js";
import { fileIdentity, isLayoutIndexOf, readLayoutIndex } from "./layout-index.js";

/** Compares `index.json` with the names, when nobody is writing it. */
export async function* checkIndex(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  await store.flush(options);
  const problem = await store.database.exclusively("index.json", () => problemOf(store, options), options);
  if (problem === undefined) return;
  yield { kind: "index_wrong", subject: "index.json", problem, repair: () => writeAnew(store, options) };
}

async function problemOf({ directory, database }: CheckedStore, options: CallOptions): Promise<string | undefined> {
  const path = join(directory, "index.json");
  const { wanted, written, file, tags } = await database.read(async (queries) => {
    const layout = await queries.selectFrom("layout").selectAll().executeTakeFirstOrThrow();
    const tags = await queries
      .selectFrom("tags")
      .select(["name", "root_digest", "descriptor"])
      .orderBy("name")
      .execute();
    return { ...layout, tags };
  }, options);
  // names have changed by now, or another tool has written the file: then it is read or written soon
  if (wanted !== written || file !== (await fileIdentity(path))) return undefined;
  try {
    const listed = (await readLayoutIndex(path)) ?? [];
    const digests = new Map(tags.map(({ name, root_digest }) => [name, root_digest]));
    const others = listed.filter(({ name, descriptor }) => digests.get(name) !== descriptor.digest).length;
    if (others > 0 || listed.length !== tags.length) {
      return `it has ${listed.length} names, ${others} of them wrong, where there are ${tags.length}`;
    }
    return (await isLayoutIndexOf(path, tags)) ? undefined : "its bytes are not those that the names give";
  } catch (error) {
    if (error instanceof RefsError || error instanceof ImageStoreError) return error.message;
    throw error;
  }
}

/** Whatever it says, the names are what counts: nothing is taken from it. */
async function writeAnew({ directory, database, flush }: CheckedStore, options: CallOptions): Promise<string> {
  const file = (await fileIdentity(join(directory, "index.json"))) ?? null;
  await database.write((queries) => queries.updateTable("layout").set({ written: 0, file }).execute(), options);
  await flush(options);
  return "written anew";
}
