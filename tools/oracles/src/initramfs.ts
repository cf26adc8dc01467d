import { chmod, copyFile, mkdir, readFile, readdir, symlink, truncate, writeFile } from "node:fs/promises";
import { open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
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

/** What the initramfs makes the root of. */
export interface RootRequest extends InitramfsRequest {
  format: "ext4" | "erofs";
  kernel: Kernel;
  /** The disks are this many, one laid over the other: namespaces of the first NVMe controller, the lowest first. */
  diskCount: number;
  /** dm-verity guards the only disk. */
  verity?: VerityRequest | undefined;
  /** There is a disk of virtio besides, which is not mounted. */
  logged?: object | undefined;
}

export interface VerityRequest {
  rootHash: string;
  /** In bytes from the disk's begin. */
  hashOffset: number;
}

/** An initramfs that mounts the disks, one read-only and several as an overlay with a writable top, and runs the script there. Returns its path. */
export async function mountingInitramfs(request: RootRequest): Promise<string> {
  const root = join(request.work, "initramfs");
  for (const name of ["bin", "dev", "proc", "sys", "new", "modules", "layers"]) {
    await mkdir(join(root, name), { recursive: true });
  }
  await copyFile(requireTool("busybox"), join(root, "bin/busybox"));
  await chmod(join(root, "bin/busybox"), 0o755);
  await symlink("busybox", join(root, "bin/sh"));
  if (request.verity !== undefined) await copyProgram(requireTool("veritysetup"), { ...request, root });
  const modules = await copyModules(modulesFor(request), { ...request, directory: join(root, "modules") });
  await writeFile(join(root, "script"), request.script);
  await writeExecutable(
    join(root, "init"),
    `#!/bin/sh
b=/bin/busybox
fail() { echo "$1 failed"; echo o > /proc/sysrq-trigger; $b sleep 30; }
$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys
for m in ${modules.join(" ")}; do $b insmod /modules/$m || echo "insmod $m failed"; done
n=0; while [ ! -b /dev/nvme0n${request.diskCount} ] && [ $n -lt 250 ]; do $b sleep 0.02; n=$((n+1)); done
${mountRoot(request)}
$b umount /sys; $b mount -o move /proc /new/proc; $b mount -o move /dev /new/dev
script="$($b cat /script)"
exec $b switch_root /new /bin/sh -c "export ${PATH}; $script"
`,
  );
  const archive = join(request.work, "initramfs.cpio");
  await createCpio(root, archive, { signal: request.signal });
  return archive;
}

function modulesFor({ format, diskCount, verity, logged }: RootRequest): string[] {
  return [
    format,
    ...(diskCount > 1 ? ["overlay"] : []),
    ...(verity === undefined ? [] : ["dm-verity"]),
    ...(logged === undefined ? [] : ["virtio_pci", "virtio_blk"]),
  ];
}

function mountRoot({ format, diskCount, verity }: RootRequest): string {
  const mount = (device: string, directory: string): string =>
    `$b mount -t ${format} -o ro ${device} ${directory} || fail "mount of ${device}"`;
  if (verity !== undefined) {
    const device = "/dev/nvme0n1";
    const open = `veritysetup open ${device} root ${device} ${verity.rootHash} --hash-offset=${verity.hashOffset}`;
    return `DM_DISABLE_UDEV=1 ${open} || fail veritysetup\n${mount("/dev/mapper/root", "/new")}`;
  }
  if (diskCount === 1) return mount("/dev/nvme0n1", "/new");
  const layers = Array.from({ length: diskCount }, (_, at) => `/layers/${at + 1}`);
  const options = `lowerdir=${layers.toReversed().join(":")},upperdir=/top/upper,workdir=/top/work`;
  return [
    ...layers.map((layer, at) => `$b mkdir ${layer}; ${mount(`/dev/nvme0n${at + 1}`, layer)}`),
    "$b mkdir /top; $b mount -t tmpfs top /top; $b mkdir /top/upper /top/work",
    `$b mount -t overlay -o ${options} overlay /new || fail "mount of the overlay"`,
  ].join("\n");
}

/** Copies a program with the libraries that it is linked to, to where it has them here. */
export async function copyProgram(program: string, options: CallOptions & { root: string }): Promise<void> {
  const { output } = await runCommand("ldd", [program], { accept: [0], signal: options.signal });
  const libraries = [...output.matchAll(/(?:=> |^\t)(\/\S+)/gm)].map(([, path]) => path!);
  for (const path of [program, ...libraries]) {
    await mkdir(join(options.root, dirname(path)), { recursive: true });
    await copyFile(path, join(options.root, path));
  }
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

/** Copies modules and what they depend on; returns the file names in the order of loading. None for one that is built in. */
async function copyModules(
  names: readonly string[],
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
  for (const name of names) await load(name);
  return [...loaded];
}

/** A module's `.modinfo` section holds `key=value` strings that end in NUL; `depends` is in every one. */
function dependencies(module: Buffer): string[] {
  const start = module.indexOf("\0depends=");
  if (start < 0) throw new OracleError("tool_failed", "cannot read a kernel module: no depends in it");
  const value = module.toString("latin1", start + "\0depends=".length, module.indexOf(0, start + 1));
  return value === "" ? [] : value.split(",");
}
