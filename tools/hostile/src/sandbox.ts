import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A place for a command to work in, among files that it must not touch. */
export interface Sandbox {
  /** Where the command is started. */
  readonly work: string;
  /** The command's store, made by it. */
  readonly root: string;
  /** Where its output goes. */
  readonly output: string;
  /** Where its temporary files go. */
  readonly temporary: string;
  /** What has changed around these, a line each. */
  changes(): string[];
  /** The paths of all files below a directory of the sandbox. */
  filesIn(directory: string): string[];
  close(): void;
}

/** Names that the corpus' absolute paths would have on this machine, were they followed. */
const HOST_PATHS = [
  "/evil",
  "/x",
  "/b",
  "/abs",
  "/outside",
  "/esc",
  "/disk-evil",
  "/work-evil",
  "/etc/x",
  "/etc/passwd",
  "/etc",
];
/** As deep as this the sandbox's own directory is, so that `../../..` still ends in it. */
const DEPTH = "1/2/3/4";

export function createSandbox(): Sandbox {
  const top = mkdtempSync(join(tmpdir(), "lamella-hostile-"));
  const work = join(top, DEPTH, "work");
  const places = { root: join(work, "root"), output: join(work, "out"), temporary: join(work, "tmp") };
  for (const directory of [places.root, places.output, places.temporary]) mkdirSync(directory, { recursive: true });
  layCanaries(top);
  const watched = (): Map<string, string> => {
    const own = new Set(Object.values(places));
    return new Map([...tree(top, own), ...HOST_PATHS.map((path) => [path, stateOf(path)] as const)]);
  };
  const before = watched();
  return {
    work,
    ...places,
    changes() {
      const after = watched();
      const paths = [...new Set([...before.keys(), ...after.keys()])];
      return paths
        .filter((path) => before.get(path) !== after.get(path))
        .map((path) => `${path} was ${before.get(path) ?? "absent"}, is ${after.get(path) ?? "absent"}`);
    },
    filesIn: (directory) =>
      [...tree(directory, new Set())].filter(([, state]) => !state.startsWith("d")).map(([path]) => path),
    close: () => rmSync(top, { recursive: true, force: true }),
  };
}

/** At each level what a path that climbs would hit: a file to overwrite, a directory to fill, a link to follow. */
function layCanaries(top: string): void {
  let directory = top;
  for (const name of [...DEPTH.split("/"), "work"]) {
    mkdirSync(join(directory, "etc"));
    writeFileSync(join(directory, "etc/passwd"), "canary", { mode: 0o640 });
    for (const file of ["evil", "x", "b", "shadow"]) writeFileSync(join(directory, file), "canary");
    mkdirSync(join(directory, "outside"), { mode: 0o700 });
    symlinkSync("outside", join(directory, "link"));
    directory = join(directory, name);
  }
}

function* tree(directory: string, except: ReadonlySet<string>): Generator<[string, string]> {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (except.has(path)) continue;
    const state = stateOf(path);
    yield [path, state];
    if (state.startsWith("d")) yield* tree(path, except);
  }
}

/** Kind, mode, owner, size, change time and content in one line. */
function stateOf(path: string): string {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return "absent";
  const { mode, uid, gid, nlink } = stat;
  const attributes = `${mode.toString(8)} ${uid}:${gid}`;
  if (stat.isDirectory()) return `d ${attributes}`;
  if (stat.isSymbolicLink()) return `l ${attributes} ${readlinkSync(path)}`;
  if (!stat.isFile()) return `? ${attributes}`;
  const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
  return `f ${attributes} ${nlink} ${stat.size} ${stat.mtimeMs} ${digest}`;
}
