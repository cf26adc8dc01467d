import { ImageStoreError } from "../errors.js";

/** JSON that this package has written into the database. @throws {ImageStoreError} `store_invalid` for what it cannot have written */
export function parseStored(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const state = "a row has JSON that is none; check --repair makes it anew of the files";
    throw new ImageStoreError("store_invalid", `cannot read the database: ${state}`, { cause: error });
  }
}
