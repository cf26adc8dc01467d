import { access, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "@lamella/fixtures";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import { OracleError } from "./errors.js";

const META_PACKAGE = "linux-image-cloud-amd64";

/** A kernel to boot disks with. */
export interface Kernel {
  /** The compressed kernel image. */
  readonly vmlinuz: string;
  /** Its `lib/modules/<version>` directory. */
  readonly modules: string;
}

/**
 * Debian's cloud kernel, from the fixtures' cache or fetched by apt and unpacked there; nothing is installed and root is not needed.
 *
 * NVMe, ext4 and the serial console are built into it; EROFS is a module.
 */
export async function debianKernel(options: CallOptions = {}): Promise<Kernel> {
  options.signal?.throwIfAborted();
  const directory = join(cacheDirectory(), META_PACKAGE);
  if (!(await exists(directory))) await fetchKernel(directory, options);
  const [version] = await readdir(join(directory, "lib/modules"));
  if (version === undefined) throw new OracleError("tool_failed", `cannot use ${directory}: no modules in it`);
  return { vmlinuz: join(directory, `boot/vmlinuz-${version}`), modules: join(directory, "lib/modules", version) };
}

async function fetchKernel(directory: string, options: CallOptions): Promise<void> {
  await mkdir(cacheDirectory(), { recursive: true });
  const work = await mkdtemp(join(cacheDirectory(), ".kernel-"));
  try {
    const { output } = await runCommand("apt-cache", ["depends", "--important", META_PACKAGE], {
      accept: [0],
      ...options,
    });
    const name = /Depends: (linux-image-\S+)/.exec(output)?.[1];
    if (name === undefined)
      throw new OracleError("tool_failed", `cannot find a kernel: apt knows no ${META_PACKAGE}, try apt-get update`);
    await runCommand("apt-get", ["download", name], { accept: [0], cwd: work, ...options });
    const archive = (await readdir(work)).find((file) => file.endsWith(".deb"));
    if (archive === undefined) throw new OracleError("tool_failed", `cannot download ${name}: apt-get left no archive`);
    const unpacked = join(work, "unpacked");
    await runCommand("dpkg-deb", ["-x", join(work, archive), unpacked], { accept: [0], ...options });
    // another process may have been faster: its kernel is as good
    await rename(unpacked, directory).catch(async (error: unknown) => {
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
