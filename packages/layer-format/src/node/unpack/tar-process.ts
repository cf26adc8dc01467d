import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { LossCollector } from "../../losses.js";
import { type TarInput, writeTarFor } from "../../tar/writer.js";
import { type Program, runProgram } from "../program.js";
import type { Powers } from "./tar-entries.js";

const TAR: Program = { name: "tar", package: "tar" };
const COMPLAINT_CHARACTERS = 4096;
/** Names are not escaped here. */
const XATTR_REFUSED = /^tar: \w+: Cannot set '.*' extended attribute for file '(.*)': ([^\n]*)$/s;
/** What callers act on, by its code in Node. A write that is cut short is how tar finds a file system full. */
const SYSTEM_ERRORS: readonly (readonly [RegExp, string])[] = [
  [/No space left on device|: Wrote only \d+ of \d+ bytes/, "ENOSPC"],
  [/Disk quota exceeded/, "EDQUOT"],
];

export interface ExtractOptions extends CallOptions, Powers {
  /** An existing directory. */
  readonly directory: string;
  readonly losses: LossCollector;
}

/**
 * Lets GNU tar lay entries into a directory: Node sets no extended attributes, makes no devices and has no nanoseconds.
 *
 * @throws {LayerFormatError} `tool_missing`, `unpack_failed`; what reading the entries throws
 */
export async function extract(
  entries: AsyncIterable<TarInput>,
  { directory, asRoot, losses, signal }: ExtractOptions,
): Promise<void> {
  const complaints = new Complaints(losses);
  const status = await runProgram(TAR, {
    args: [
      "--extract",
      "--file=-",
      // Names are used as they are; tar would put off symlinks that lead upwards, and remember each of them.
      "--absolute-names",
      "--preserve-permissions",
      "--numeric-owner",
      asRoot ? "--same-owner" : "--no-same-owner",
      "--xattrs",
      "--xattrs-include=*",
      "--warning=no-timestamp",
      "--quoting-style=escape",
    ],
    cwd: directory,
    input: writeTarFor("unpacking", entries, { signal }),
    onComplaint: (line) => complaints.line(line),
    signal,
  });
  const complaint = complaints.finish();
  if (status !== 0 || complaint !== "") throw extractFailed(directory, status, complaint);
}

/** Sorts what tar says into losses and all else. */
class Complaints {
  readonly #losses: LossCollector;
  #all = "";
  #last = "";

  constructor(losses: LossCollector) {
    this.#losses = losses;
  }

  line(line: string): void {
    if (line.startsWith("tar: ")) {
      this.#settle();
      this.#last = line;
      // A name has a newline.
    } else if (this.#last.length < COMPLAINT_CHARACTERS) this.#last += `\n${line}`;
  }

  /** Its beginning. */
  finish(): string {
    this.#settle();
    return this.#all;
  }

  #settle(): void {
    const [, path, why = ""] = XATTR_REFUSED.exec(this.#last) ?? [];
    if (path !== undefined) this.#losses.add(`extended attributes (${displayPath(why)})`, path);
    else if (this.#last !== "" && this.#all.length < COMPLAINT_CHARACTERS)
      this.#all += `${this.#all === "" ? "" : "; "}${this.#last}`;
    this.#last = "";
  }
}

function extractFailed(directory: string, status: number | null, complaint: string): LayerFormatError {
  const words = complaint === "" ? `tar ended with ${status ?? "a signal"}` : displayPath(complaint);
  const code = SYSTEM_ERRORS.find(([pattern]) => pattern.test(complaint))?.[1];
  const cause = code === undefined ? undefined : Object.assign(new Error(code), { code });
  return new LayerFormatError("unpack_failed", `cannot unpack into ${JSON.stringify(directory)}: ${words}`, { cause });
}
