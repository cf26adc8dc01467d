import { quote } from "@lamella/refs";

import type { SnapshotInfo } from "../snapshotter.js";
import { type Condition, isField, readCondition, refuseFilter, type SnapshotField } from "./filter-condition.js";

/** Whether a snapshot is one of those asked for. */
export type SnapshotFilter = (info: SnapshotInfo) => boolean;

/**
 * Reads the filters of `walk`: one of them has to match, with all its conditions. An empty filter matches everything, and so do none.
 * @throws {SnapshotError} `invalid_argument`; the message says where
 */
export function parseFilters(filters: readonly string[] = []): SnapshotFilter {
  if (filters.length === 0) return () => true;
  const alternatives = filters.map(parseFilter);
  return (info) => alternatives.some((matches) => matches(info));
}

function parseFilter(text: string): SnapshotFilter {
  if (text === "") return () => true;
  const conditions: SnapshotFilter[] = [];
  for (let at = 0; at <= text.length;) {
    const condition = readCondition(text, at);
    conditions.push(compileCondition(text, condition));
    at = condition.end;
    if (at === text.length) break;
    if (text[at] !== ",") throw refuseFilter(text, `a comma is missing at character ${at + 1}`);
    at++;
  }
  return (info) => conditions.every((matches) => matches(info));
}

function compileCondition(text: string, condition: Condition): SnapshotFilter {
  const { path, operator, value } = condition;
  const [field = "", ...rest] = path;
  if (!isField(field) || (field === "labels") === (rest.length === 0)) {
    throw refuseFilter(text, `no field ${quote(path.join("."))}`);
  }
  const valueOf = (info: SnapshotInfo): string | undefined => fieldValue(info, field, rest.join("."));
  if (operator === undefined) return (info) => (valueOf(info) ?? "") !== "";
  if (operator === "==") return (info) => valueOf(info) === value;
  if (operator === "!=") return (info) => (valueOf(info) ?? "") !== value;
  const pattern = compilePattern(text, value);
  return (info) => pattern.test(valueOf(info) ?? "");
}

function compilePattern(text: string, pattern: string): RegExp {
  try {
    return new RegExp(pattern, "u");
  } catch (cause) {
    throw refuseFilter(text, `${quote(pattern)} is no regular expression`, { cause });
  }
}

/** The parent of a snapshot on none is the empty text; a label that is not there is none. */
function fieldValue(info: SnapshotInfo, field: SnapshotField, label: string): string | undefined {
  if (field === "labels") return Object.hasOwn(info.labels, label) ? info.labels[label] : undefined;
  if (field === "parent") return info.parent ?? "";
  return info[field];
}
