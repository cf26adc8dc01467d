import type { FileEntry } from "../api/types.js";

/** What is known of a directory's entries. */
export interface Directory {
  readonly entries: readonly FileEntry[];
  /** Where the rest begins; null where there is none. */
  readonly next: string | null;
  readonly state: "loading" | "loaded" | "failed";
  readonly error?: string;
}

export type Directories = ReadonlyMap<string, Directory>;

/** A line of the tree as it is shown now. `level` is 1 for what lies in the root. */
export type Row =
  | {
      readonly kind: "entry";
      readonly key: string;
      readonly entry: FileEntry;
      readonly level: number;
      readonly isOpen: boolean | undefined;
      readonly position: number;
      readonly of: number;
    }
  | {
      readonly kind: "more" | "loading" | "failed" | "empty";
      readonly key: string;
      readonly path: string;
      readonly level: number;
      readonly words: string;
    };

/** The path of the root. */
export const ROOT = "";

/** The lines from the top: what is in open directories stands below them. */
export function rowsOf(
  directories: Directories,
  open: ReadonlySet<string>,
  path: string = ROOT,
  level: number = 1,
): Row[] {
  const directory = directories.get(path);
  const note = (kind: "more" | "loading" | "failed" | "empty", words: string): Row => ({
    kind,
    key: `${kind} ${path}`,
    path,
    level,
    words,
  });
  if (directory === undefined) return [note("loading", "Loading …")];
  const { entries, next, state, error } = directory;
  const rows = entries.flatMap((entry, index): Row[] => {
    const isOpen = entry.kind === "directory" ? open.has(entry.path) : undefined;
    const row = {
      kind: "entry",
      key: `entry ${entry.path}`,
      entry,
      level,
      isOpen,
      position: index + 1,
      of: next === null ? entries.length : -1,
    } as const;
    return isOpen === true ? [row, ...rowsOf(directories, open, entry.path, level + 1)] : [row];
  });
  if (state === "loading") return [...rows, note("loading", "Loading …")];
  if (state === "failed") return [...rows, note("failed", `${error ?? "It could not be read"}. Enter tries again.`)];
  if (next !== null) return [...rows, note("more", `Show more than ${entries.length.toLocaleString("en")}`)];
  return rows.length === 0 ? [note("empty", level === 1 ? "Nothing" : "Empty")] : rows;
}

/** Open directories whose entries nobody has asked for. */
export function unasked(directories: Directories, open: ReadonlySet<string>): string[] {
  const paths = rowsOf(directories, open).flatMap((row) =>
    row.kind === "loading" && !directories.has(row.path) ? [row.path] : [],
  );
  return [...new Set(paths)];
}

export type TreeAct =
  | { readonly act: "go"; readonly to: number }
  | { readonly act: "open" | "close"; readonly path: string }
  | { readonly act: "load"; readonly path: string };

/** What a key does at a line of a tree, as WAI-ARIA's pattern of a tree view has it; undefined where it does nothing. */
export function actOf(rows: readonly Row[], at: number, key: string): TreeAct | undefined {
  const row = rows[at];
  if (row === undefined) return undefined;
  const go = (to: number): TreeAct | undefined =>
    to >= 0 && to < rows.length && to !== at ? { act: "go", to } : undefined;
  if (key === "ArrowDown") return go(at + 1);
  if (key === "ArrowUp") return go(at - 1);
  if (key === "Home") return go(0);
  if (key === "End") return go(rows.length - 1);
  if (key === "ArrowLeft") {
    if (row.kind === "entry" && row.isOpen === true) return { act: "close", path: row.entry.path };
    return go(rows.findLastIndex((other, index) => index < at && other.level < row.level));
  }
  if (row.kind !== "entry") {
    const loads = row.kind === "more" || row.kind === "failed";
    return loads && (key === "Enter" || key === " ") ? { act: "load", path: row.path } : undefined;
  }
  const { path } = row.entry;
  if (key === "ArrowRight") {
    if (row.isOpen === false) return { act: "open", path };
    return row.isOpen === true && rows[at + 1]?.level === row.level + 1 ? go(at + 1) : undefined;
  }
  if (key === "Enter" || key === " ")
    return row.isOpen === undefined ? undefined : { act: row.isOpen ? "close" : "open", path };
  return key.length === 1 ? go(nextNamed(rows, at, key.toLowerCase())) : undefined;
}

/** The next line whose name begins with a letter, around the end; -1 if there is none. */
function nextNamed(rows: readonly Row[], at: number, letter: string): number {
  const order = rows.map((_, index) => (at + 1 + index) % rows.length);
  return (
    order.find((index) => {
      const row = rows[index];
      return row?.kind === "entry" && row.entry.name.toLowerCase().startsWith(letter);
    }) ?? -1
  );
}
