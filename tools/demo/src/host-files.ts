import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

/** Enough of them for an /init that mounts /proc, says that it is up and gives a shell. */
const PROGRAMS = ["sh", "mount", "cat", "ls", "uname", "sleep", "cut"];
const PROGRAM_DIRECTORIES = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"];

/** A file of this machine and where it goes in the image. */
export interface HostFile {
  readonly from: string;
  readonly to: string;
}

/** The shell and a few programs of this machine, with the libraries they load: what a machine that has Node always has. */
export function hostPrograms(): HostFile[] {
  const files = new Map<string, string>();
  for (const program of PROGRAMS) {
    const found = PROGRAM_DIRECTORIES.map((directory) => join(directory, program)).find((path) => existsSync(path));
    if (found === undefined) continue;
    files.set(`bin/${program}`, realpathSync(found));
    for (const library of sharedLibraries(found)) files.set(library.slice(1), realpathSync(library));
  }
  return [...files].map(([to, from]) => ({ to, from }));
}

/** As the machine's own loader resolves them (ldd(1)); none for a static program or where there is no ldd. */
function sharedLibraries(program: string): string[] {
  try {
    const output = execFileSync("ldd", [program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return [...output.matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => (path === undefined ? [] : [path]));
  } catch {
    return [];
  }
}

/** npm's own tree: a few thousand real files that every machine with Node has. */
export function npmFiles(): HostFile[] {
  const root = npmRoot();
  if (root === undefined) return [];
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(root, name), { throwIfNoEntry: false })?.isFile() === true)
    .map((name) => ({ from: join(root, name), to: `usr/lib/node_modules/npm/${name}` }))
    .toSorted((a, b) => (a.to < b.to ? -1 : 1));
}

function npmRoot(): string | undefined {
  const candidates = [
    dirname(dirname(process.env["npm_execpath"] ?? "")),
    join(dirname(dirname(process.execPath)), "lib/node_modules/npm"),
    "/usr/share/npm",
  ];
  return candidates.find((path) => existsSync(join(path, "bin/npm-cli.js")));
}
