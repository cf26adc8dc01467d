import * as fc from "fast-check";

import type { MemoryLayerSpec } from "../src/testing.js";

/** Few names, so that layers meet. */
const name = fc.constantFrom("a", "b", "c", "\xff");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const mode = fc.constantFrom(0o755, 0o700, 0o4711);
const uid = fc.constantFrom(0, 7);
const mtime = fc.constantFrom(0, 1, { seconds: -1, nanoseconds: 5 });
const xattrs = fc.constantFrom<Record<string, string>>(
  {},
  {},
  { "user.u": "1" },
  { "trusted.overlay.opaque": "y", "user.overlay.opaque": "y" },
  { "trusted.overlay.overlay.redirect": "/a", "user.overlay.metacopy": "" },
);
const attributes = { path, mode, uid, mtime, xattrs };
const extents = [
  { offset: 1, length: 2 },
  { offset: 6, length: 1 },
];

const entry: fc.Arbitrary<MemoryLayerSpec[number]> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ...attributes, content: fc.constantFrom("", "1", "22") }) },
  {
    weight: 1,
    arbitrary: fc.record({ ...attributes, content: fc.constant("\0xy\0\0\0z\0"), extents: fc.constant(extents) }),
  },
  { weight: 4, arbitrary: fc.record({ ...attributes, kind: fc.constant("directory" as const) }) },
  { weight: 2, arbitrary: fc.record({ path, mtime, kind: fc.constantFrom("whiteout" as const, "opaque" as const) }) },
  { weight: 1, arbitrary: fc.constant({ path: "", kind: "opaque" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ ...attributes, path: fc.constant(""), kind: fc.constant("directory" as const) }),
  },
  { weight: 2, arbitrary: fc.record({ ...attributes, kind: fc.constant("hardlink" as const), linkTarget: path }) },
  { weight: 1, arbitrary: fc.record({ ...attributes, linkTarget: fc.oneof(path, fc.constantFrom("..", "/a", "/")) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      ...attributes,
      kind: fc.constantFrom("char" as const, "block" as const),
      device: fc.record({ major: fc.nat(1), minor: fc.nat(1) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ ...attributes, kind: fc.constantFrom("fifo" as const, "socket" as const) }) },
);

/** Stacks of layers, the lowest first. Not every one can be applied: a path may lead through a file. */
export const layerStacks: fc.Arbitrary<MemoryLayerSpec[]> = fc.array(fc.array(entry, { maxLength: 8 }), {
  minLength: 1,
  maxLength: 5,
});
