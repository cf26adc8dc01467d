import { LayerFormatError } from "@lamella/layer-format";
import { verifyLayer } from "@lamella/layer-format/node";
import type { CallOptions, Digest } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import { isErrno } from "./durable.js";
import { fileState, otherFiles, takeAway } from "./gc-files.js";
import type { StoredFile } from "./gc-files.js";
import { readLayer } from "./layer-fetch.js";
import { systemFailure } from "./system-error.js";

/** Reads every layer archive to its end. */
export async function* checkLayers(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  for await (const file of otherFiles(store.directory)) {
    if (file.kind !== "layer") continue;
    if ((await problemOf(file, options)) === undefined) continue;
    // once more: it may have been removed or made anew while it was read
    const problem = await problemOf(file, options);
    if (problem === undefined || (await fileState(file.path)) === undefined) continue;
    yield { kind: "layer_damaged", subject: file.ref, problem, repair: () => makeAgain(store, file, options) };
  }
}

async function problemOf({ path, ref }: StoredFile, options: CallOptions): Promise<string | undefined> {
  try {
    const { diffID } = await verifyLayer(path, options);
    return diffID === ref ? undefined : `it is the archive of ${diffID}`;
  } catch (error) {
    // that it could not be opened says nothing about it
    if (systemFailure(error)?.code === "too_many_files") throw error;
    if (error instanceof LayerFormatError) return error.message;
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR") || isErrno(error, "EIO")) return (error as Error).message;
    throw error;
  }
}

/** Drops an archive, and makes it of a blob of the layer if there is one. */
async function makeAgain(store: CheckedStore, file: StoredFile, options: CallOptions): Promise<string> {
  const { content, database } = store;
  const diffID = file.ref as Digest;
  const removeRest = await database.write(() => takeAway(file), options);
  await removeRest?.();
  const layer = await database.read(
    (queries) => queries.selectFrom("image_layers").selectAll().where("diff_id", "=", diffID).executeTakeFirst(),
    options,
  );
  if (layer === undefined) return "dropped";
  const descriptor = { mediaType: layer.media_type, digest: layer.digest, size: layer.size_bytes };
  const items = [
    { kind: "layer", ref: diffID },
    { kind: "blob", ref: descriptor.digest },
  ] as const;
  return store.lease(
    `check ${diffID}`,
    items,
    async () => {
      if ((await content.stat(descriptor.digest, options)) !== descriptor.size)
        return "dropped; the next pull makes it";
      const work = { directory: file.path, progress: () => {}, ...options };
      await readLayer(content.fetch(descriptor, options), { descriptor, diffID }, work);
      return "made again of its blob";
    },
    options,
  );
}
