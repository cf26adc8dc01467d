import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";

/** Few names, so that layers meet. */
const name = fc.constantFrom("a", "b", "c");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const mode = fc.constantFrom(0o755, 0o700);
const mtime = fc.nat(2);
const xattrs = fc.constantFrom<Record<string, string>>(
  {},
  {},
  { "user.u": "1" },
  { "trusted.overlay.opaque": "y", "user.overlay.opaque": "y" },
  { "trusted.overlay.overlay.redirect": "/a", "user.overlay.metacopy": "" },
);

const entry: fc.Arbitrary<MemoryLayerSpec[number]> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ path, content: fc.constantFrom("", "1", "22"), mode, mtime, xattrs }) },
  { weight: 3, arbitrary: fc.record({ path, kind: fc.constant("directory" as const), mode, mtime, xattrs }) },
  { weight: 2, arbitrary: fc.record({ path, kind: fc.constant("whiteout" as const) }) },
  { weight: 1, arbitrary: fc.record({ path, kind: fc.constant("opaque" as const) }) },
  { weight: 1, arbitrary: fc.constant({ path: "", kind: "opaque" as const }) },
  { weight: 1, arbitrary: fc.record({ path: fc.constant(""), kind: fc.constant("directory" as const), mode, xattrs }) },
  { weight: 2, arbitrary: fc.record({ path, kind: fc.constant("hardlink" as const), linkTarget: path, mode, mtime }) },
  { weight: 1, arbitrary: fc.record({ path, linkTarget: fc.oneof(path, fc.constantFrom("..", "/a", "/")) }) },
  {
    weight: 1,
    arbitrary: fc.record({ path, kind: fc.constant("char" as const), device: fc.constant({ major: 0, minor: 0 }) }),
  },
);

/** Stacks of layers, the lowest first. Not every one can be applied: a path may lead through a file. */
export const layerStacks: fc.Arbitrary<MemoryLayerSpec[]> = fc.array(fc.array(entry, { maxLength: 8 }), {
  minLength: 1,
  maxLength: 5,
});
