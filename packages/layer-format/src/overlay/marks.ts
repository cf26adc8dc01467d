import type { Attributes, Entry } from "../file-tree.js";

/** The xattrs in which overlayfs reads its marks: `trusted.overlay.*`, `user.overlay.*` of a mount with `userxattr`, or those of both. */
export type OverlayXattrs = "trusted" | "user" | "both";

type Xattrs = Attributes["xattrs"];

const PREFIXES: Readonly<Record<OverlayXattrs, readonly string[]>> = {
  trusted: ["trusted.overlay."],
  user: ["user.overlay."],
  both: ["trusted.overlay.", "user.overlay."],
};
const ESCAPE = "overlay.";
const OPAQUE = "opaque";
const YES: Uint8Array = Uint8Array.of("y".charCodeAt(0));

/** What a character device 0:0 is to overlayfs: a whiteout. */
export function isNullDevice({ kind, deviceMajor, deviceMinor }: Entry): boolean {
  return kind === "char" && deviceMajor === 0 && deviceMinor === 0;
}

/** Whether overlayfs would take one of these for a mark of its own. */
export function hasOverlayMarks(xattrs: Xattrs, namespaces: OverlayXattrs): boolean {
  if (xattrs.size === 0) return false;
  return [...xattrs.keys()].some((name) => prefixOf(name, namespaces) !== undefined);
}

/**
 * The xattrs that an overlay's layer has for an entry of this tree: what overlayfs would take for its own is escaped (`trusted.overlay.x`
 * becomes `trusted.overlay.overlay.x`, which is how a nested overlay keeps it), and an opaque directory is marked.
 */
export function overlayXattrs(xattrs: Xattrs, namespaces: OverlayXattrs, isOpaque: boolean): Xattrs {
  if (!isOpaque && !hasOverlayMarks(xattrs, namespaces)) return xattrs;
  const result = new Map<string, Uint8Array>();
  for (const [name, value] of xattrs) {
    const prefix = prefixOf(name, namespaces);
    result.set(prefix === undefined ? name : prefix + ESCAPE + name.slice(prefix.length), value);
  }
  if (isOpaque) for (const prefix of PREFIXES[namespaces]) result.set(prefix + OPAQUE, YES);
  return result;
}

/** What the xattrs of an overlay's layer say: those that are shown, and overlayfs' marks by their names without the prefix. */
export interface OverlayMarks {
  readonly xattrs: Xattrs;
  readonly marks: ReadonlyMap<string, Uint8Array>;
}

/** The other way than {@link overlayXattrs}. */
export function readOverlayXattrs(xattrs: Xattrs, namespaces: OverlayXattrs): OverlayMarks {
  const marks = new Map<string, Uint8Array>();
  if (!hasOverlayMarks(xattrs, namespaces)) return { xattrs, marks };
  const shown = new Map<string, Uint8Array>();
  for (const [name, value] of xattrs) {
    const prefix = prefixOf(name, namespaces);
    const rest = name.slice(prefix?.length ?? 0);
    if (prefix === undefined) shown.set(name, value);
    else if (rest.startsWith(ESCAPE)) shown.set(prefix + rest.slice(ESCAPE.length), value);
    else marks.set(rest, value);
  }
  return { xattrs: shown, marks };
}

function prefixOf(name: string, namespaces: OverlayXattrs): string | undefined {
  return PREFIXES[namespaces].find((prefix) => name.startsWith(prefix));
}
