import type { LayoutFile } from "./image-layout.js";

/**
 * What a case is for: the image is refused, a path is resolved inside the image, the image is taken exactly, or an entry of it
 * is passed over. Only the first differs in what the command has to do: the others have a tree.
 */
export type Rule = "refuse" | "contain" | "accept" | "ignore";

/** One bad input. */
export interface HostileCase {
  /** The row of the list in the README; undefined for what came later. */
  readonly row?: number;
  readonly title: string;
  readonly rule: Rule;
  readonly files: () => readonly LayoutFile[];
  /** The source within the case's directory: an OCI layout (the default) or a file of it. */
  readonly source?: string;
  readonly expected: Refusal | ExpectedTree;
  /** The formats that an accepted image is written as; ext4 and cpio by default. */
  readonly formats?: readonly Format[];
  /** Leaves the contents alone: the image has more of them than anyone would want to read. */
  readonly withoutContents?: boolean;
}

export type Format = "ext4" | "erofs" | "cpio";

export const EVERY_FORMAT: readonly Format[] = ["ext4", "erofs", "cpio"];

/** The image is refused: this exit status, and on stderr one line that has each of these words. */
export interface Refusal {
  readonly status: number;
  readonly words: readonly string[];
}

/** The image is taken, and this is in it, nothing more and nothing less. */
export interface ExpectedTree {
  /** By path, a byte string: each character is one byte. The root is the empty path, and may be left out. */
  readonly tree: Readonly<Record<string, ExpectedEntry>>;
}

/** One entry. A field that is absent is not looked at. */
export interface ExpectedEntry {
  readonly kind: "file" | "directory" | "symlink" | "char" | "block" | "fifo";
  /** A file's contents, a byte string. */
  readonly content?: string;
  readonly size?: number;
  readonly linkTarget?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeSeconds?: number;
  /** How many names the inode has. */
  readonly links?: number;
  readonly device?: readonly [major: number, minor: number];
  /** All of its extended attributes, byte strings. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

const VERIFICATION = 5;

export function refused(...words: readonly string[]): Refusal {
  return { status: VERIFICATION, words };
}

export function holds(tree: ExpectedTree["tree"]): ExpectedTree {
  return { tree };
}

export function isRefusal(expected: Refusal | ExpectedTree): expected is Refusal {
  return "status" in expected;
}

type Attributes = Omit<ExpectedEntry, "kind">;

export function aFile(content: string, attributes: Attributes = {}): ExpectedEntry {
  return { kind: "file", content, size: content.length, ...attributes };
}

export function aDirectory(attributes: Attributes = {}): ExpectedEntry {
  return { kind: "directory", ...attributes };
}

/** A directory that no entry describes. */
export const IMPLIED: ExpectedEntry = aDirectory({ mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 0 });

export function aSymlink(linkTarget: string, attributes: Attributes = {}): ExpectedEntry {
  return { kind: "symlink", linkTarget, ...attributes };
}

/** The name of the case's directory: stable, sortable, safe anywhere. */
export function caseId({ row, title }: HostileCase): string {
  const slug = title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "");
  return `${row === undefined ? "x" : String(row).padStart(2, "0")}-${slug}`;
}

/** As a test names it. */
export function caseTitle({ row, title }: HostileCase): string {
  return row === undefined ? `further: ${title}` : `row ${row}: ${title}`;
}
