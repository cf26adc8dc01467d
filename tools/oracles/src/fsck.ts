import type { CallOptions, CommandResult } from "./command.js";
import { runCommand } from "./command.js";
import type { NewerErofs } from "./newer-erofs.js";

/** What a checker said of a file system. */
export interface FsckReport {
  /** Nothing to repair, and nothing that the checker would have liked to improve. */
  readonly clean: boolean;
  readonly exitCode: number;
  readonly output: string;
}

/** Checks an ext4 image in full with `e2fsck -fn`, which never writes. Optimisations that it proposes count as faults. */
export async function e2fsck(image: string, options: CallOptions = {}): Promise<FsckReport> {
  const result = await runCommand("e2fsck", ["-fn", image], options);
  return report(result, !/\? no$|IGNORED/m.test(result.output));
}

/**
 * Checks an EROFS image with `fsck.erofs --extract`, which reads all data too and writes nothing.
 *
 * Its exit code alone is no verdict: version 1.5 ends with 0 when the checksum of the superblock is wrong. EROFS has no checksum
 * over anything else: a wrong byte in uncompressed data is found only by comparing trees.
 *
 * With `tools`, by that newer version. `devices` are what the image refers to.
 */
export async function fsckErofs(
  image: string,
  { tools, devices = [], ...options }: CallOptions & { tools?: NewerErofs; devices?: readonly string[] } = {},
): Promise<FsckReport> {
  // it goes down directories by calling itself, and 1.5 takes much stack for that
  const [program, ...parameters] = tools?.fsck ?? ["fsck.erofs"];
  const others = devices.map((device) => `--device=${device}`);
  const result = await runCommand(
    "prlimit",
    ["--stack=unlimited", program, ...parameters, "-d3", "--extract", ...others, image],
    options,
  );
  return report(result, /No errors found/.test(result.output) && !/<E>/.test(result.output));
}

/** The fields of an ext4 superblock as `dumpe2fs -h` names and shows them. */
export async function dumpe2fs(image: string, options: CallOptions = {}): Promise<ReadonlyMap<string, string>> {
  const { output } = await runCommand("dumpe2fs", ["-h", image], { accept: [0], ...options });
  const fields = output.split("\n").flatMap((line): [string, string][] => {
    const match = /^([^:]+):\s+(.*)$/.exec(line);
    return match?.[1] !== undefined && match[2] !== undefined ? [[match[1], match[2].trim()]] : [];
  });
  return new Map(fields);
}

function report({ exitCode, output }: CommandResult, contented: boolean): FsckReport {
  return { clean: exitCode === 0 && contented, exitCode, output };
}
