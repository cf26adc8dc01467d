import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { findTool, packageOf } from "@lamella/fixtures";
import { OracleError } from "./errors.js";

/** For who runs what is built as another user. */
export const OPEN_CHECKOUT = "a checkout in directories that every user may enter";

/** Whether a requirement is met: `root`, {@link OPEN_CHECKOUT}, the absolute path of a file, or else the name of a command. */
export function have(requirement: string): boolean {
  if (requirement === "root") return process.getuid?.() === 0;
  if (requirement === OPEN_CHECKOUT) return isOpen(import.meta.dirname);
  return requirement.startsWith("/") ? existsSync(requirement) : findTool(requirement) !== undefined;
}

/**
 * What keeps a suite from running, in words, or `undefined` if nothing does.
 *
 * Made for `describe.skipIf(reason !== undefined)(title, …)` with the reason in the title.
 */
export function missing(requirements: readonly string[]): string | undefined {
  const absent = requirements.filter((requirement) => !have(requirement));
  return absent.length === 0 ? undefined : `needs ${absent.map(describe).join(", ")}`;
}

/** Absolute path of a command; throws `tool_missing`, naming the Debian package. */
export function requireTool(tool: string): string {
  const path = findTool(tool);
  if (path === undefined)
    throw new OracleError("tool_missing", `cannot run ${tool}: not installed, needs ${describe(tool)}`);
  return path;
}

function describe(requirement: string): string {
  const name = packageOf(requirement);
  return name === undefined || name === requirement ? requirement : `${requirement} (Debian package ${name})`;
}

function isOpen(directory: string): boolean {
  const isEntered = (statSync(directory).mode & 0o001) !== 0;
  return isEntered && (dirname(directory) === directory || isOpen(dirname(directory)));
}
