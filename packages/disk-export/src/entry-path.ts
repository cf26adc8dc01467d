import { displayPath } from "@lamella/layer-format";
import type { Entry } from "@lamella/layer-format";

/** The last component of a path; empty for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** An entry's absolute path, safe to print. */
export function shownPath(entry: Entry): string {
  return displayPath(`/${entry.path}`);
}
