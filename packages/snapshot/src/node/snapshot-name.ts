import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { Labels } from "../snapshotter.js";

/** As containerd has it: of a label's name and its value together, in bytes. */
const MAX_LABEL_BYTES = 4096;

/** NUL would end a text for SQLite, and half a surrogate pair has no form in UTF-8. */
const UNKEEPABLE = /[\0\p{Surrogate}]/u;

/** @throws {SnapshotError} `invalid_argument` for what cannot be a key or a name */
export function checkName(act: string, name: string): void {
  const state = name === "" ? "it is empty" : UNKEEPABLE.test(name) ? "it has NUL or half a surrogate pair" : undefined;
  if (state !== undefined) {
    throw new SnapshotError("invalid_argument", `cannot ${act} snapshot ${quote(name)}: the name is invalid: ${state}`);
  }
}

/** The labels to keep: those with a value. @throws {SnapshotError} `invalid_argument` */
export function checkLabels(act: string, labels: Labels): Labels {
  const kept = Object.entries(labels).filter(([, value]) => value !== "");
  for (const [name, value] of kept) {
    const state = labelState(name, value);
    if (state !== undefined) {
      throw new SnapshotError("invalid_argument", `cannot ${act} with label ${quote(name)}: ${state}`);
    }
  }
  return Object.fromEntries(kept);
}

function labelState(name: string, value: string): string | undefined {
  if (name === "") return "it has no name";
  if (UNKEEPABLE.test(name + value)) return "it has NUL or half a surrogate pair";
  const bytes = Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes > MAX_LABEL_BYTES ? `it has ${bytes} bytes, more than ${MAX_LABEL_BYTES}` : undefined;
}
