import { constants, copyFile, link, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Across file systems; too many links; links forbidden by the file system, or to the files of others. */
const LINKLESS = new Set(["EXDEV", "EMLINK", "EPERM", "ENOTSUP"]);
const ARCHIVE_FILES = ["idx", "contents"] as const;

/** Makes a directory with a layer archive that is somewhere else already, synced. An archive never changes, so that both may be the same files. */
export async function linkArchive(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const name of ARCHIVE_FILES) {
    const target = join(to, name);
    try {
      await link(join(from, name), target);
    } catch (error) {
      if (!LINKLESS.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
      await copyFile(join(from, name), target, constants.COPYFILE_FICLONE);
      await sync(target);
    }
  }
  await sync(to);
  await sync(dirname(to));
}

async function sync(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
