import type { CallOptions } from "./command.js";
import { OracleError } from "./errors.js";
import { listTree } from "./list-tree.js";
import { comparePaths, displayBytes } from "./tree-record.js";
import type { TreeRecord } from "./tree-record.js";

/** A directory to list, or a listing in the order of `comparePaths`. */
export type TreeListing = string | Iterable<TreeRecord> | AsyncIterable<TreeRecord>;

type PlainField =
  | "type"
  | "mode"
  | "uid"
  | "gid"
  | "size"
  | "mtime"
  | "rdev"
  | "target"
  | "links"
  | "linkOf"
  | "sha256";

/** What differs: a field of the record, one extended attribute, or the entry's existence. */
export type DifferenceField = PlainField | "missing" | "extra" | `xattr:${string}`;

/** One thing that differs about one entry. */
export interface Difference {
  readonly path: string;
  readonly field: DifferenceField;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** A field that is not compared at all, or a judgement on each single difference. */
export type IgnoreRule = DifferenceField | ((difference: Difference) => boolean);

export interface CompareOptions extends CallOptions {
  /** Differences to leave out; those are counted. */
  ignore?: readonly IgnoreRule[];
  /** How many differences to keep; the rest is counted. 50 by default. */
  limit?: number;
}

export interface Comparison {
  /** Entries of the expected tree, the root included. Check it: two empty trees are equal too. */
  readonly entryCount: number;
  /** The first differences in the order of the listing. */
  readonly differences: readonly Difference[];
  /** All of them. */
  readonly differenceCount: number;
  /** How many were left out by a rule, for each rule as given: a rule that stands at 0 is not needed. */
  readonly ignoredCounts: readonly number[];
}

const PLAIN_FIELDS = ["type", "mode", "uid", "gid", "size", "mtime", "rdev", "target", "linkOf", "sha256"] as const;

/**
 * The directory that mkfs and e2fsck want at the root of an ext4 file system, and the root's link that it takes.
 * No other tree has it.
 */
export function lostAndFound(difference: Difference): boolean {
  if (difference.path === "lost+found") return difference.field === "extra";
  return (
    difference.path === "" &&
    difference.field === "links" &&
    Number(difference.actual) === Number(difference.expected) + 1
  );
}

/**
 * Compares two trees entry by entry, in everything a record holds, with constant memory.
 *
 * Link counts of directories are compared unless a side says 1, by which a file system says that it does not count.
 */
export async function compareTrees(
  expected: TreeListing,
  actual: TreeListing,
  options: CompareOptions = {},
): Promise<Comparison> {
  const rules = options.ignore ?? [];
  const limit = options.limit ?? 50;
  const ignoredCounts = rules.map(() => 0);
  const differences: Difference[] = [];
  let entryCount = 0;
  let differenceCount = 0;
  for await (const [left, right] of pairs(expected, actual, options)) {
    if (left) entryCount += 1;
    for (const difference of compareRecords(left, right)) {
      const rule = rules.findIndex((candidate) => applies(candidate, difference));
      if (rule >= 0) {
        ignoredCounts[rule] = (ignoredCounts[rule] ?? 0) + 1;
      } else {
        differenceCount += 1;
        if (differences.length < limit) differences.push(difference);
      }
    }
  }
  return { entryCount, differences, differenceCount, ignoredCounts };
}

/** The differences as lines for a person, names escaped; the empty string if there are none. */
export function describeDifferences(comparison: Comparison): string {
  const lines = comparison.differences.map(({ path, field, expected, actual }) => {
    const values = [expected, actual].map((value) => (value === undefined ? "nothing" : displayBytes(value)));
    return `/${displayBytes(path)}: ${displayBytes(field)}: expected ${values[0]}, got ${values[1]}`;
  });
  const more = comparison.differenceCount - comparison.differences.length;
  if (more > 0) lines.push(`and ${more} more`);
  return lines.join("\n");
}

function applies(rule: IgnoreRule, difference: Difference): boolean {
  return typeof rule === "function" ? rule(difference) : rule === difference.field;
}

type Pair = readonly [left: TreeRecord | undefined, right: TreeRecord | undefined];

async function* pairs(expected: TreeListing, actual: TreeListing, options: CallOptions): AsyncGenerator<Pair> {
  const lefts = inOrder(expected, options);
  const rights = inOrder(actual, options);
  try {
    // both sides are asked at once: two programs then list at the same time
    let [left, right] = await Promise.all([next(lefts), next(rights)]);
    while (left || right) {
      const order = !left ? 1 : !right ? -1 : comparePaths(left.path, right.path);
      yield [order <= 0 ? left : undefined, order >= 0 ? right : undefined];
      const advanced = await Promise.all([order <= 0 ? next(lefts) : left, order >= 0 ? next(rights) : right]);
      [left, right] = advanced;
    }
  } finally {
    await Promise.all([lefts.return(undefined), rights.return(undefined)]);
  }
}

async function next(listing: AsyncGenerator<TreeRecord>): Promise<TreeRecord | undefined> {
  const step = await listing.next();
  return step.done === true ? undefined : step.value;
}

async function* inOrder(listing: TreeListing, options: CallOptions): AsyncGenerator<TreeRecord> {
  let previous: string | undefined;
  for await (const record of typeof listing === "string" ? listTree(listing, options) : listing) {
    options.signal?.throwIfAborted();
    if (previous !== undefined && comparePaths(previous, record.path) >= 0) {
      throw new OracleError(
        "listing_incomplete",
        `cannot compare /${displayBytes(record.path)}: the listing is out of order`,
      );
    }
    previous = record.path;
    yield record;
  }
}

function* compareRecords(left: TreeRecord | undefined, right: TreeRecord | undefined): Generator<Difference> {
  if (!left || !right) {
    const { path, type } = (left ?? right)!;
    yield left
      ? { path, field: "missing", expected: type, actual: undefined }
      : { path, field: "extra", expected: undefined, actual: type };
    return;
  }
  const { path } = left;
  for (const field of PLAIN_FIELDS) {
    if (left[field] !== right[field])
      yield { path, field, expected: shown(left[field], field), actual: shown(right[field], field) };
  }
  const uncounted = left.type === "directory" && right.type === "directory" && (left.links === 1 || right.links === 1);
  if (left.links !== right.links && !uncounted) {
    yield { path, field: "links", expected: String(left.links), actual: String(right.links) };
  }
  const names = new Set([...Object.keys(left.xattrs), ...Object.keys(right.xattrs)]);
  for (const name of [...names].sort()) {
    const [expected, actual] = [left.xattrs[name], right.xattrs[name]];
    if (expected !== actual) yield { path, field: `xattr:${name}`, expected, actual };
  }
}

function shown(value: string | number | null, field: PlainField): string | undefined {
  if (value === null) return undefined;
  return field === "mode" ? (value as number).toString(8).padStart(4, "0") : String(value);
}
