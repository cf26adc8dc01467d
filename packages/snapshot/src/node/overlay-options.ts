import { dirname, relative } from "node:path";

/** overlayfs takes directories in an option of at most a page, so they are named from the directory that they share. */
export interface RelativeOptions {
  /** Where relative names begin. */
  readonly cwd: string;
  readonly options: readonly string[];
}

const SINGLE = ["upperdir", "workdir"] as const;
const LOWER = "lowerdir";

/** `lowerdir` of several directories, the topmost first, as mount(8) takes it. */
export function lowerdirOption(directories: readonly string[]): string {
  return `${LOWER}=${directories.map((directory) => directory.replaceAll(/[\\:]/g, "\\$&")).join(":")}`;
}

/** An overlay's options with their directories as short as they can be. */
export function relativeOptions(options: readonly string[]): RelativeOptions {
  const directories = options.flatMap(directoriesOf);
  const cwd = commonDirectory(directories);
  if (directories.length === 0 || cwd === "/") return { cwd: "/", options };
  return {
    cwd,
    options: options.map((option) => {
      const named = directoriesOf(option).map((directory) => relative(cwd, directory));
      const [name] = option.split("=", 1);
      if (named.length === 0) return option;
      return name === LOWER ? lowerdirOption(named) : `${name}=${named[0]}`;
    }),
  };
}

function directoriesOf(option: string): string[] {
  const single = SINGLE.find((name) => option.startsWith(`${name}=`));
  if (single !== undefined) return [option.slice(single.length + 1)];
  if (!option.startsWith(`${LOWER}=`)) return [];
  const directories = option.slice(LOWER.length + 1).match(/(?:[^\\:]|\\[^])+/g) ?? [];
  return directories.map((directory) => directory.replaceAll(/\\([\\:])/g, "$1"));
}

function commonDirectory(paths: readonly string[]): string {
  const [first = "/", ...rest] = paths;
  let common = dirname(first);
  while (common !== "/" && !rest.every((path) => path.startsWith(`${common}/`))) common = dirname(common);
  return common;
}
