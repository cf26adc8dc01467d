import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "@lamella/fixtures";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";

const SUITE = "trixie";
const MIRROR = "http://deb.debian.org/debian";

/** erofs-utils of a later Debian (1.8) than the one that this runs on may have. */
export interface NewerErofs {
  /** A program and its first parameters: run it with more of them. */
  readonly mkfs: readonly [program: string, ...parameters: string[]];
  readonly fsck: readonly [program: string, ...parameters: string[]];
}

/**
 * erofs-utils 1.8 from the fixtures' cache, or put there by debootstrap: that needs root, debootstrap and the network, and takes a minute.
 *
 * The programs run by their own Debian's dynamic linker, in the same process tree and file system as any other: no chroot.
 */
export async function newerErofs(options: CallOptions = {}): Promise<NewerErofs> {
  options.signal?.throwIfAborted();
  const directory = join(cacheDirectory(), `erofs-utils-${SUITE}`);
  if (!(await exists(directory))) await fetchSuite(directory, options);
  const linker = join(directory, "lib64/ld-linux-x86-64.so.2");
  const libraries = join(directory, "usr/lib/x86_64-linux-gnu");
  const program = (name: string): [string, ...string[]] => [
    linker,
    "--library-path",
    libraries,
    join(directory, "usr/bin", name),
  ];
  return { mkfs: program("mkfs.erofs"), fsck: program("fsck.erofs") };
}

async function fetchSuite(directory: string, options: CallOptions): Promise<void> {
  await mkdir(cacheDirectory(), { recursive: true });
  const work = await mkdtemp(join(cacheDirectory(), ".suite-"));
  try {
    const root = join(work, "root");
    const parameters = ["--variant=minbase", "--include=erofs-utils", SUITE, root, MIRROR];
    await runCommand("debootstrap", parameters, { accept: [0], ...options });
    await rm(join(root, "var/cache/apt"), { recursive: true, force: true });
    // another process may have been faster: its programs are as good
    await rename(root, directory).catch(async (error: unknown) => {
      if (!(await exists(directory))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
