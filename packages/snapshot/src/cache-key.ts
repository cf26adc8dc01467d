import type { Entry, FileTree } from "@lamella/layer-format";
import { createDigester, formatPlatform } from "@lamella/refs";
import type { CallOptions, Digest, Platform } from "@lamella/refs";

import { createFramedDigest, digestFields } from "./framed-digest.js";

/*
 * Keys of a build cache. A key is a digest of everything that an operation's result depends on: the same key means the same file system.
 *
 *   baseKey(image) --deriveKey(_, runOpKey(…))--> key of step 1 --deriveKey(_, copyOpKey(…))--> key of step 2 …
 *
 * Fields are framed by kind and length, so that no two lists of fields are one text, and keys are all of SHA-256.
 */

/** What a build begins with. */
export interface CacheBase {
  /** Of the image's manifest: never a tag, which may come to name something else. */
  readonly digest: Digest;
  readonly platform: Platform;
}

/** A command that is run in the file system. */
export interface RunOperation {
  /** The arguments, the program first. */
  readonly command: readonly string[];
  /** In any order. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly workDir?: string | undefined;
  readonly user?: string | undefined;
  /** Digests of whatever else the command can see, as mounts and secrets by name. */
  readonly inputs?: Readonly<Record<string, Digest>> | undefined;
}

/** Files that are copied into the file system. */
export interface CopyOperation {
  /** In the order in which they are copied: the last one wins. */
  readonly sources: readonly CopySource[];
  readonly destination: string;
  /** `user:group` where the copies get an owner other than that of the sources. */
  readonly owner?: string | undefined;
  /** Permissions where the copies get others than those of the sources. */
  readonly mode?: number | undefined;
}

export interface CopySource {
  /** The name that is given; it decides what the copy is called. */
  readonly path: string;
  /** The {@link snapshotOpKey} of what is copied, or the digest of the file's bytes where its attributes do not matter. */
  readonly digest: Digest;
}

export interface SnapshotKeyOptions extends CallOptions {
  /**
   * Leaves times of modification out: two checkouts of the same sources then have one key. By default they count, as a snapshot with other times
   * is another file system.
   */
  ignoreTimes?: boolean | undefined;
}

export function baseKey({ digest, platform }: CacheBase): Digest {
  return digestFields("lamella base 1", digest, formatPlatform(platform));
}

/** The key of what an operation makes of what `parent` is the key of. */
export function deriveKey(parent: Digest, operation: Digest): Digest {
  return digestFields("lamella derived 1", parent, operation);
}

export function runOpKey({ command, env = {}, workDir, user, inputs = {} }: RunOperation): Digest {
  return digestFields("lamella run 1", command, sorted(env), workDir, user, sorted(inputs));
}

export function copyOpKey({ sources, destination, owner, mode }: CopyOperation): Digest {
  const copied = sources.map(({ path, digest }) => [path, digest]);
  return digestFields("lamella copy 1", copied, destination, owner, mode);
}

/**
 * The key of a whole file system: of each entry its path, kind, mode, owner, time, xattrs, link target, device, the bytes of files, and which names are
 * hard links to each other. Where a sparse file has its holes does not count: they are zeros.
 *
 * Reads every file. Trees that say the same have the same key, wherever they come from.
 */
export async function snapshotOpKey(
  tree: FileTree,
  { ignoreTimes = false, signal }: SnapshotKeyOptions = {},
): Promise<Digest> {
  const framed = createFramedDigest("lamella snapshot 1");
  framed.add(ignoreTimes);
  const firstNames = new Map<number, string>();
  for await (const entry of tree.entries({ signal })) {
    const first = firstNames.get(entry.inode);
    if (first !== undefined) {
      framed.add(["link", entry.path, first]);
      continue;
    }
    if (entry.links > 1) firstNames.set(entry.inode, entry.path);
    const { path, kind, mode, uid, gid, linkTarget, deviceMajor, deviceMinor } = entry;
    const time = ignoreTimes ? undefined : [entry.mtimeSeconds, entry.mtimeNanoseconds];
    const xattrs = [...entry.xattrs].sort(byName);
    const content = kind === "file" ? await contentDigest(tree, entry, signal) : undefined;
    framed.add([path, kind, mode, uid, gid, time, xattrs, linkTarget, deviceMajor, deviceMinor, content]);
  }
  signal?.throwIfAborted();
  return framed.digest();
}

async function contentDigest(tree: FileTree, entry: Entry, signal: AbortSignal | undefined): Promise<Digest> {
  const digester = createDigester();
  for await (const chunk of tree.read(entry, { signal })) digester.update(chunk);
  return digester.digest();
}

function sorted(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort(byName);
}

function byName([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
