import type { Refuse } from "./refusal.js";

/** OCI image-spec, layer.md, "Whiteouts" and "Opaque Whiteout". */
export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_NAME = ".wh..wh..opq";
/** The names that aufs keeps for itself. They were never part of an image. */
const AUFS_PREFIX = ".wh..wh.";

/** What a marker says: the path that is gone, the directory that is opaque, or nothing at all. */
export interface Marker {
  readonly kind: "whiteout" | "opaque" | "ignored";
  readonly path: string;
}

/**
 * What the name of an entry says about the layers below; undefined for an ordinary entry.
 * A directory is never a whiteout: `.wh.etc/` is a directory of that name.
 */
export function readMarker(path: string, isDirectory: boolean, refuse: Refuse): Marker | undefined {
  if (!path.includes(WHITEOUT_PREFIX)) return undefined;
  const slash = path.lastIndexOf("/");
  const parent = path.slice(0, Math.max(slash, 0));
  const name = path.slice(slash + 1);
  if (name === OPAQUE_NAME && !isDirectory && !isInAufs(parent)) return { kind: "opaque", path: parent };
  if (isInAufs(path)) return { kind: "ignored", path };
  if (!name.startsWith(WHITEOUT_PREFIX) || isDirectory) return undefined;
  const target = name.slice(WHITEOUT_PREFIX.length);
  if (target === "" || target === "." || target === "..") {
    refuse("layer_invalid", "the whiteout does not name anything in its directory");
  }
  return { kind: "whiteout", path: parent === "" ? target : `${parent}/${target}` };
}

function isInAufs(path: string): boolean {
  return path.startsWith(AUFS_PREFIX) || path.includes(`/${AUFS_PREFIX}`);
}
