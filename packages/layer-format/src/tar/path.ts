import type { LayerLimits } from "../limits.js";
import type { Refuse } from "./refusal.js";

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * A name as a path inside the image: without `.`, empty components and slashes at its ends, and with `..` taken lexically,
 * clamped at the root. The root is the empty string. As containerd does it, symlinks play no part.
 */
export function cleanPath(name: string): string {
  let start = 0;
  let end = name.length;
  while (name.charCodeAt(start) === SLASH || (name.charCodeAt(start) === DOT && name.charCodeAt(start + 1) === SLASH)) {
    start++;
  }
  while (end > start && name.charCodeAt(end - 1) === SLASH) end--;
  const trimmed = start === 0 && end === name.length ? name : name.slice(start, end);
  return isClean(trimmed) ? trimmed : resolveDots(trimmed);
}

/** Whether no component is empty, `.` or `..`; nearly every name is clean once its ends are trimmed. */
function isClean(path: string): boolean {
  if (path.charCodeAt(0) !== DOT && !path.includes("/.") && !path.includes("//")) return true;
  let length = 0;
  let dots = 0;
  for (let index = 0; index <= path.length; index++) {
    const code = index === path.length ? SLASH : path.charCodeAt(index);
    if (code !== SLASH) {
      length++;
      if (code === DOT) dots++;
      continue;
    }
    if (length === dots && length <= 2) return path === "";
    length = 0;
    dots = 0;
  }
  return true;
}

function resolveDots(path: string): string {
  const components: string[] = [];
  for (const component of path.split("/")) {
    if (component === "..") components.pop();
    else if (component !== "" && component !== ".") components.push(component);
  }
  return components.join("/");
}

/** Refuses a clean path that no Linux system could hold. */
export function checkPath(path: string, limits: LayerLimits, refuse: Refuse): void {
  if (path.includes("\0")) refuse("tar_invalid", "the name has a NUL");
  if (path.length > limits.pathBytes) refuse("layer_limit", `the path has over ${limits.pathBytes} bytes`);
  for (let start = 0; path.length - start > limits.nameBytes;) {
    const slash = path.indexOf("/", start);
    const end = slash < 0 ? path.length : slash;
    if (end - start > limits.nameBytes) refuse("layer_limit", `a name in the path has over ${limits.nameBytes} bytes`);
    start = end + 1;
  }
}
