import { quote } from "@lamella/refs";

import { createAllocation } from "./allocation.js";
import type { Allocation } from "./allocation.js";
import type { BlockSource } from "./block-source.js";
import { NbdError } from "./errors.js";
import { parseString } from "./option-data.js";

/** A disk under its name. */
export interface Export {
  readonly name: string;
  readonly source: BlockSource;
  readonly allocation: Allocation;
}

/** One disk, under the empty name that stands for the default; or several. */
export type NbdExports = BlockSource | ReadonlyMap<string, BlockSource>;

/** @throws {NbdError} `option_invalid` */
export function openExports(exports: NbdExports): Map<string, Export> {
  const named = "read" in exports ? new Map([["", exports]]) : exports;
  if (named.size === 0) throw new NbdError("option_invalid", "cannot serve disks: there is none");
  return new Map(Array.from(named, ([name, source]) => [name, openExport(name, source)]));
}

/** @throws {NbdError} `option_invalid` */
export function openExport(name: string, source: BlockSource): Export {
  if (parseString(Buffer.from(name)) !== name)
    throw new NbdError("option_invalid", `cannot serve a disk as ${quote(name)}: not a name of at most 4096 bytes`);
  if (!Number.isSafeInteger(source.sizeBytes) || source.sizeBytes < 0)
    throw new NbdError("option_invalid", `cannot serve a disk of ${source.sizeBytes} bytes: not a size`);
  return { name, source, allocation: createAllocation(source) };
}
