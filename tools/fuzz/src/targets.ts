import { archiveTarget } from "./target-archive.js";
import { compressionTarget } from "./target-compression.js";
import { tarTarget } from "./target-tar.js";
import { tocTarget } from "./target-toc.js";
import type { FuzzTarget } from "./target.js";

export const TARGETS: readonly FuzzTarget[] = [tarTarget, compressionTarget, tocTarget, archiveTarget];

export function targetOf(name: string): FuzzTarget {
  const found = TARGETS.find((target) => target.name === name);
  if (found !== undefined) return found;
  throw new RangeError(`cannot fuzz ${name}: the targets are ${TARGETS.map((target) => target.name).join(", ")}`);
}
