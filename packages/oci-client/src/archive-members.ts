import { Readable } from "node:stream";

import { type CallOptions, quote } from "@lamella/refs";
import { extract, type Header } from "tar-stream";

import { OciClientError } from "./errors.js";
import { type FilePart, gatherSmall, openPlainFile, type PlainFile } from "./plain-file.js";

/** The members of a tar that holds images, by name. Nothing is unpacked: what is read is read in place. */
export interface ArchiveMembers extends AsyncDisposable {
  /** For messages. */
  readonly path: string;
  has(name: string): boolean;
  /** Where a file's content is. @throws {OciClientError} `not_found`, `archive_invalid` for what is no file */
  locate(name: string): FilePart;
  chunks(part: FilePart): AsyncGenerator<Uint8Array, void, undefined>;
  /** A small file whole. @throws {OciClientError} `not_found`, `archive_invalid`, `too_large` */
  readSmall(name: string, limitBytes: number, options: CallOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface Link {
  readonly target: string;
}

type Member = FilePart | Link | "directory";

/** An image has at most 1024 layers, each with three members in Docker's old form; an archive may hold many images. */
const MAX_MEMBERS = 65_536;
const MAX_NAME_LENGTH = 4096;
const MAX_LINKS = 8;
const HEADER_BYTES = 512;
const GZIP_OR_ZSTD = [
  [0x1f, 0x8b],
  [0x28, 0xb5, 0x2f, 0xfd],
] as const;

/**
 * Reads through a tar once and notes where its members are. A member outside of the archive, one name twice, and what is neither file,
 * directory nor link are refused; links lead only to other members.
 *
 * @throws {OciClientError} `not_found`, `archive_invalid`, `layout_invalid` for a path that is no regular file
 */
export async function openArchiveMembers(path: string, options: CallOptions): Promise<ArchiveMembers> {
  options.signal?.throwIfAborted();
  const file = await openPlainFile(path);
  try {
    await checkCompression(file, path);
    const members = await readMembers(file, path, options);
    return toArchive(file, path, members);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function toArchive(file: PlainFile, path: string, members: ReadonlyMap<string, Member>): ArchiveMembers {
  function locate(name: string): FilePart {
    let at = name;
    for (let links = 0; links <= MAX_LINKS; links++) {
      const member = members.get(at);
      if (member === undefined)
        throw new OciClientError("not_found", `cannot read ${quote(name)} in ${quote(path)}: there is no such member`);
      if (member === "directory") throw invalid(path, `${quote(name)} is a directory`);
      if ("size" in member) return member;
      at = member.target;
    }
    throw invalid(path, `${quote(name)} leads through more than ${MAX_LINKS} links`);
  }
  return {
    path,
    has: (name) => members.has(name),
    locate,
    chunks: (part) => file.chunks(part),
    readSmall: async (name, limitBytes, options) => {
      options.signal?.throwIfAborted();
      return gatherSmall(file.chunks(locate(name)), { path: `${path}/${name}`, limitBytes, ...options });
    },
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}

async function readMembers(
  file: PlainFile,
  path: string,
  { signal }: CallOptions,
): Promise<ReadonlyMap<string, Member>> {
  const members = new Map<string, Member>();
  const tar = extract();
  const input = Readable.from(file.chunks(), { objectMode: false });
  const abort = (): void => tar.destroy(new Error("aborted"));
  signal?.addEventListener("abort", abort, { once: true });
  input.on("error", (error) => tar.destroy(error));
  input.on("data", (chunk: Uint8Array) => {
    if (!tar.write(chunk)) input.pause();
  });
  tar.on("drain", () => void input.resume());
  input.on("end", () => void tar.end(undefined));
  try {
    for await (const entry of tar) {
      const { header } = entry;
      addMember(members, path, header, entry.offset + HEADER_BYTES);
      if (header.type !== "directory" && entry.offset + HEADER_BYTES + header.size > file.size) {
        throw invalid(path, `${quote(header.name)} ends after the archive`);
      }
      entry.resume();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof OciClientError ? error : invalid(path, "it is not a tar", error);
  } finally {
    signal?.removeEventListener("abort", abort);
    input.destroy();
  }
  signal?.throwIfAborted();
  if (members.size === 0) throw invalid(path, "it is an empty tar");
  return members;
}

function addMember(members: Map<string, Member>, path: string, header: Header, offset: number): void {
  const name = cleanName(header.name, path);
  const member = toMember(header, offset, { name, path });
  const old = members.get(name);
  if (old === "directory" && member === "directory") return;
  if (old !== undefined) throw invalid(path, `it has two members ${quote(name)}`);
  if (members.size === MAX_MEMBERS) throw invalid(path, `it has more than ${MAX_MEMBERS} members`);
  members.set(name, member);
}

function toMember(header: Header, offset: number, { name, path }: { name: string; path: string }): Member {
  switch (header.type) {
    case "file":
    case "contiguous-file":
      return { offset, size: header.size };
    case "directory":
      return "directory";
    case "link":
      return { target: cleanName(header.linkname, path) };
    case "symlink":
      return { target: resolveLink(name, header.linkname, path) };
    default:
      throw invalid(path, `${quote(name)} is a ${header.type}`);
  }
}

/** A relative name that stays inside, without `./` and a slash at its end. */
function cleanName(name: string, path: string): string {
  if (name.length > MAX_NAME_LENGTH) throw invalid(path, `a name has more than ${MAX_NAME_LENGTH} characters`);
  const components = name.split("/").filter((component) => component !== "" && component !== ".");
  if (name.startsWith("/") || components.includes("..")) throw invalid(path, `${quote(name)} leads out of the archive`);
  return components.join("/");
}

function resolveLink(name: string, target: string, path: string): string {
  if (target.length > MAX_NAME_LENGTH) throw invalid(path, `a link has more than ${MAX_NAME_LENGTH} characters`);
  const components = name.split("/").slice(0, -1);
  for (const component of target.split("/")) {
    if (component === "" || component === ".") continue;
    if (component !== "..") components.push(component);
    else if (components.pop() === undefined) throw invalid(path, `${quote(name)} leads out of the archive`);
  }
  if (target.startsWith("/")) throw invalid(path, `${quote(name)} leads out of the archive`);
  return components.join("/");
}

async function checkCompression(file: PlainFile, path: string): Promise<void> {
  for await (const start of file.chunks({ offset: 0, size: 4 })) {
    if (!GZIP_OR_ZSTD.some((magic) => magic.every((byte, index) => start[index] === byte))) continue;
    throw new OciClientError(
      "unsupported",
      `cannot read ${quote(path)}: it is compressed, only a plain tar is read in place`,
    );
  }
}

function invalid(path: string, state: string, cause?: unknown): OciClientError {
  return new OciClientError("archive_invalid", `cannot read archive ${quote(path)}: ${state}`, { cause });
}
