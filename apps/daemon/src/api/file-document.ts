import { displayPath } from "@lamella/layer-format";
import type { FileKind, HistoryEntry } from "@lamella/layer-format";
import type { z } from "@hono/zod-openapi";

import { encodeImagePath } from "./image-path.js";
import type { FileEntry } from "./schemas.js";

type FileDocument = z.infer<typeof FileEntry>;

const KINDS: Readonly<Record<FileKind, FileDocument["kind"]>> = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  fifo: "fifo",
  socket: "socket",
  char: "character-device",
  block: "block-device",
};

export function entryDocument(entry: HistoryEntry): FileDocument {
  const { path, kind, change, layer, mode, uid, gid, totalBytes, linkTarget } = entry;
  return {
    name: displayPath(path.slice(path.lastIndexOf("/") + 1)),
    path: encodeImagePath(path),
    kind: KINDS[kind],
    change,
    layer,
    mode,
    uid,
    gid,
    size_bytes: totalBytes,
    mtime: timeOf(entry),
    link_target: kind === "symlink" ? displayPath(linkTarget) : null,
  };
}

/** What RFC 3339 can say: years of four digits. */
const FIRST_MS = Date.parse("0000-01-01T00:00:00Z");
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

function timeOf({ mtimeSeconds, mtimeNanoseconds }: HistoryEntry): string {
  const ms = mtimeSeconds * 1000 + Math.floor(mtimeNanoseconds / 1_000_000);
  return new Date(Math.min(Math.max(ms, FIRST_MS), LAST_MS)).toISOString();
}

/** `Content-Disposition` for a file to be saved, whatever it is called (RFC 6266). */
export function attachmentHeader(name: string): string {
  const plain = name.replaceAll(/[^\w.+-]/g, "_");
  // it leaves some that RFC 8187 does not
  const exact = encodeURIComponent(name).replaceAll(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${exact}`;
}
