import { type CallOptions, quote } from "@lamella/refs";

import { type ArchiveMembers, openArchiveMembers } from "./archive-members.js";
import { type LayoutFiles, openLayout } from "./layout-reader.js";
import type { OciLayout } from "./oci-layout.js";

/** An OCI layout in a tar, read in place. Holds the file open: close it when done. */
export interface OciArchive extends OciLayout, AsyncDisposable {
  /** May be called twice. */
  close(): Promise<void>;
}

/**
 * Opens a tar of an OCI layout, as `skopeo copy … oci-archive:FILE` writes one. It is read through once, to learn where its members are.
 * @throws {OciClientError} `not_found`, `archive_invalid`, `layout_invalid`; `unsupported` for one that is compressed
 */
export async function openOciArchive(path: string, options: CallOptions = {}): Promise<OciArchive> {
  const members = await openArchiveMembers(path, options);
  try {
    const layout = await openLayout(archiveFiles(members), options);
    return { ...layout, close: members.close, [Symbol.asyncDispose]: members.close };
  } catch (error) {
    await members.close();
    throw error;
  }
}

export function archiveFiles(members: ArchiveMembers): LayoutFiles {
  return {
    title: `OCI archive ${quote(members.path)}`,
    readSmall: members.readSmall,
    chunks: (path) => members.chunks(members.locate(path)),
  };
}
