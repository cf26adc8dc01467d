import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { Attributes } from "../../file-tree.js";
import { unescapeOctal } from "./octal-escapes.js";
import { type Program, runProgram } from "../program.js";

type Xattrs = Attributes["xattrs"];

const GETFATTR: Program = { name: "getfattr", package: "attr" };
const FILE = "# file: ";
const BASE64 = "0s";

/**
 * The extended attributes of a directory and of all that is below it, by path: one run of getfattr, since Node reads none.
 * @throws {LayerFormatError} `tool_missing`, `tool_failed`
 */
export async function readXattrs(root: string, { signal }: CallOptions): Promise<ReadonlyMap<string, Xattrs>> {
  const dump = new DumpReader();
  let words = "";
  const status = await runProgram(GETFATTR, {
    args: ["--recursive", "--no-dereference", "--dump", "--match=-", "--encoding=base64", "."],
    cwd: root,
    onOutput: (chunk) => dump.push(chunk),
    onComplaint: (line) => void (words ||= line),
    signal,
  });
  if (status === 0 && words === "") return dump.files;
  const why = words === "" ? `getfattr ended with ${status ?? "a signal"}` : displayPath(words);
  throw new LayerFormatError("tool_failed", `cannot read the extended attributes of ${JSON.stringify(root)}: ${why}`);
}

/** Reads what `getfattr --dump --encoding=base64` prints: a line for each file, lines of its attributes, an empty line. */
class DumpReader {
  readonly files = new Map<string, Map<string, Uint8Array>>();
  #xattrs = new Map<string, Uint8Array>();
  #rest = "";

  push(chunk: Uint8Array): void {
    const lines = (this.#rest + Buffer.from(chunk).toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line.startsWith(FILE)) {
      const path = unescapeOctal(line.slice(FILE.length));
      this.#xattrs = new Map();
      this.files.set(path === "." ? "" : path, this.#xattrs);
    } else if (line !== "") {
      const [name, value] = splitOnce(line);
      const base64 = value.startsWith(BASE64) ? value.slice(BASE64.length) : "";
      this.#xattrs.set(unescapeOctal(name), Uint8Array.from(Buffer.from(base64, "base64")));
    }
  }
}

/** At the first equals sign: those of names are escaped. */
function splitOnce(line: string): [string, string] {
  const equals = line.indexOf("=");
  return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
}
