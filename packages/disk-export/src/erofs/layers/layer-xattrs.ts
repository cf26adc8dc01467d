import type { Entry } from "@lamella/layer-format";

/** The xattrs in which overlayfs reads its marks: `trusted.overlay.*`, `user.overlay.*` of a mount with `userxattr`, or those of both. */
export type OverlayXattrs = "trusted" | "user" | "both";

type Xattrs = Entry["xattrs"];

const PREFIXES: Readonly<Record<OverlayXattrs, readonly string[]>> = {
  trusted: ["trusted.overlay."],
  user: ["user.overlay."],
  both: ["trusted.overlay.", "user.overlay."],
};
const ESCAPE = "overlay.";
const OPAQUE = "opaque";
const YES: Uint8Array = Uint8Array.of("y".charCodeAt(0));

/** Whether overlayfs would take one of these for a mark of its own. */
export function hasOverlayMarks(xattrs: Xattrs, namespaces: OverlayXattrs): boolean {
  if (xattrs.size === 0) return false;
  return [...xattrs.keys()].some((name) => prefixOf(name, namespaces) !== undefined);
}

/**
 * The xattrs that a layer's image has for an entry of this tree: what overlayfs would take for its own is escaped (`trusted.overlay.x`
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

function prefixOf(name: string, namespaces: OverlayXattrs): string | undefined {
  return PREFIXES[namespaces].find((prefix) => name.startsWith(prefix));
}
