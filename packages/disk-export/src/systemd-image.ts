import type { RunConfig } from "@lamella/refs";

const INIT_PROGRAMS = new Set(["/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"]);

/**
 * Whether what an image runs is an init system by its usual paths, so that a machine can boot into the image itself: the first word of
 * the entrypoint, or of the command where there is none, is `/sbin/init`, `/lib/systemd/systemd` or `/usr/lib/systemd/systemd`.
 */
export function isSystemdImage({ entrypoint = [], cmd = [] }: RunConfig): boolean {
  const [program = ""] = [...entrypoint, ...cmd];
  return INIT_PROGRAMS.has(program);
}
