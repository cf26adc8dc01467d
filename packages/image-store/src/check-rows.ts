import type { Kysely } from "@lamella/database";
import { isDigest, parsePlatform } from "@lamella/refs";

import type { StoreSchema } from "./database/schema.js";

/** A row that no program of ours has written so, though SQLite finds nothing wrong with it: bits have changed. */
export async function rowProblem(queries: Kysely<StoreSchema>): Promise<string | undefined> {
  const tags = await queries.selectFrom("tags").select(["name", "descriptor", "root_digest"]).execute();
  for (const { name, descriptor, root_digest } of tags) {
    if (!describes(descriptor, root_digest)) return `the row of the name ${JSON.stringify(name)} contradicts itself`;
  }
  const images = await queries
    .selectFrom("images")
    .select(["manifest_digest", "descriptor", "platform", "config"])
    .execute();
  for (const { manifest_digest, descriptor, platform, config } of images) {
    const isSound = describes(descriptor, manifest_digest) && isPlatform(platform) && parsed(config) !== undefined;
    if (!isSound) return `the row of the image ${JSON.stringify(manifest_digest)} contradicts itself`;
  }
  for (const table of ["disks", "builds"] as const) {
    const rows = await queries.selectFrom(table).select("options").distinct().execute();
    if (rows.some(({ options }) => parsed(options) === undefined))
      return `the rows of ${table} have options that are none`;
  }
  return undefined;
}

function describes(descriptor: string, digest: string): boolean {
  const found = parsed(descriptor);
  return (
    isDigest(digest) &&
    found?.digest === digest &&
    typeof found.mediaType === "string" &&
    Number.isSafeInteger(found.size)
  );
}

function isPlatform(text: string): boolean {
  try {
    parsePlatform(text);
    return true;
  } catch {
    return false;
  }
}

function parsed(text: string): { digest?: unknown; mediaType?: unknown; size?: unknown } | undefined {
  try {
    const found = JSON.parse(text) as unknown;
    return typeof found === "object" && found !== null ? found : undefined;
  } catch {
    return undefined;
  }
}
