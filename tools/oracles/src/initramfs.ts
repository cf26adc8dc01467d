import { chmod, copyFile, mkdir, readFile, readdir, symlink, truncate, writeFile } from "node:fs/promises";
import { open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import { createCpio } from "./cpio.js";
import type { Kernel } from "./debian-kernel.js";
import { OracleError } from "./errors.js";
import { requireTool } from "./requirements.js";

export interface InitramfsRequest extends CallOptions {
  /** An empty directory to work in. */
  work: string;
  /** What the first process of the booted root runs, a POSIX shell script. */
  script: string;
}

const PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/** An initramfs that mounts the first NVMe disk read-only as `format` and runs the script there. Returns its path. */
export async function mountingInitramfs(
  request: InitramfsRequest & { format: string; kernel: Kernel },
): Promise<string> {
  const root = join(request.work, "initramfs");
  for (const name of ["bin", "dev", "proc", "new", "modules"]) await mkdir(join(root, name), { recursive: true });
  await copyFile(requireTool("busybox"), join(root, "bin/busybox"));
  await chmod(join(root, "bin/busybox"), 0o755);
  await symlink("busybox", join(root, "bin/sh"));
  const modules = await copyModules(request.format, { ...request, directory: join(root, "modules") });
  await writeFile(join(root, "script"), request.script);
  await writeExecutable(
    join(root, "init"),
    `#!/bin/sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc
for m in ${modules.join(" ")}; do $b insmod /modules/$m || echo "insmod $m failed"; done
n=0; while [ ! -b /dev/nvme0n1 ] && [ $n -lt 250 ]; do $b sleep 0.02; n=$((n+1)); done
$b mount -t ${request.format} -o ro /dev/nvme0n1 /new || { echo "mount failed"; echo o > /proc/sysrq-trigger; $b sleep 30; }
$b mount -o move /proc /new/proc; $b mount -o move /dev /new/dev
script="$($b cat /script)"
exec $b switch_root /new /bin/sh -c "export ${PATH}; $script"
`,
  );
  const archive = join(request.work, "initramfs.cpio");
  await createCpio(root, archive, { signal: request.signal });
  return archive;
}

/** The archive itself as the initramfs, with a second one after it that only adds `/init`. Returns its path. */
export async function extendedInitramfs(request: InitramfsRequest & { archive: string }): Promise<string> {
  const addition = join(request.work, "addition");
  await mkdir(addition);
  await writeExecutable(join(addition, "init"), `#!/bin/sh\nexport ${PATH}\n${request.script}\n`);
  const added = join(request.work, "addition.cpio");
  await createCpio(addition, added, { signal: request.signal });

  const extended = join(request.work, "extended.cpio");
  await copyFile(request.archive, extended);
  const { size } = await stat(extended);
  // the kernel looks for the next archive at a multiple of four bytes
  const aligned = Math.ceil(size / 4) * 4;
  await truncate(extended, aligned);
  const file = await open(extended, "r+");
  try {
    await file.write(await readFile(added), 0, null, aligned);
  } finally {
    await file.close();
  }
  return extended;
}

async function writeExecutable(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  await chmod(path, 0o755);
}

/** Copies a module and what it depends on; returns the file names in the order of loading. None if it is built in. */
async function copyModules(
  name: string,
  options: InitramfsRequest & { kernel: Kernel; directory: string },
): Promise<string[]> {
  const files = (await readdir(options.kernel.modules, { recursive: true })).filter((file) =>
    /\.ko(\.xz)?$/.test(file),
  );
  const paths = new Map(
    files.map((file) => [
      basename(file)
        .replace(/\.ko.*$/, "")
        .replaceAll("-", "_"),
      file,
    ]),
  );
  const loaded = new Set<string>();
  const load = async (module: string): Promise<void> => {
    const path = paths.get(module.replaceAll("-", "_"));
    if (path === undefined || loaded.has(`${module}.ko`)) return;
    const target = join(options.directory, `${module}.ko`);
    await copyFile(join(options.kernel.modules, path), path.endsWith(".xz") ? `${target}.xz` : target);
    if (path.endsWith(".xz"))
      await runCommand("xz", ["--decompress", `${target}.xz`], { accept: [0], signal: options.signal });
    for (const dependency of dependencies(await readFile(target))) await load(dependency);
    loaded.add(`${module}.ko`);
  };
  await load(name);
  return [...loaded];
}

/** A module's `.modinfo` section holds `key=value` strings that end in NUL; `depends` is in every one. */
function dependencies(module: Buffer): string[] {
  const start = module.indexOf("\0depends=");
  if (start < 0) throw new OracleError("tool_failed", "cannot read a kernel module: no depends in it");
  const value = module.toString("latin1", start + "\0depends=".length, module.indexOf(0, start + 1));
  return value === "" ? [] : value.split(",");
}
