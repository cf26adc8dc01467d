import type { MemoryTreeSpec } from "@lamella/layer-format/testing";

const ROOM_BYTES = 4000;

/** A tree without the xattrs that ext4 has no room for, and without ACLs: random bytes are none. */
export function storable(spec: MemoryTreeSpec): MemoryTreeSpec {
  return spec.map((described) => {
    if (!("xattrs" in described) || described.xattrs === undefined) return described;
    let room = ROOM_BYTES;
    const kept = Object.entries(described.xattrs).filter(([name, value]) => {
      room -= 16 + name.length + 3 + value.length + 3;
      return room >= 0 && !name.startsWith("system.") && name !== "user.";
    });
    return { ...described, xattrs: Object.fromEntries(kept) };
  });
}
