/*
 * A POSIX ACL, as `getxattr` gives it and as ext4 keeps it. On the disk only entries that name someone have an id.
 *
 *  getxattr:  | version 2, 4 bytes | tag 2 | permissions 2 | id 4 | ...
 *  ext4:      | version 1, 4 bytes | tag 2 | permissions 2 | [id 4] | ...
 */
const XATTR_VERSION = 2;
const DISK_VERSION = 1;
const VERSION_BYTES = 4;
const ENTRY_BYTES = 8;
const SHORT_ENTRY_BYTES = 4;

/** `ACL_USER_OBJ | ACL_USER | ACL_GROUP_OBJ | ACL_GROUP | ACL_MASK | ACL_OTHER` */
const TAGS: ReadonlySet<number> = new Set([0x1, 0x2, 0x4, 0x8, 0x10, 0x20]);
const TAG_USER = 0x2;
const TAG_GROUP = 0x8;

/** The form on the disk, or nothing if the value is not an ACL with entries. */
export function encodeAcl(value: Uint8Array): Uint8Array | undefined {
  const entriesBytes = value.length - VERSION_BYTES;
  if (entriesBytes <= 0 || entriesBytes % ENTRY_BYTES !== 0) return undefined;
  const source = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (source.getUint32(0, true) !== XATTR_VERSION) return undefined;

  const target = new DataView(new ArrayBuffer(value.length));
  target.setUint32(0, DISK_VERSION, true);
  let length = VERSION_BYTES;
  for (let at = VERSION_BYTES; at < value.length; at += ENTRY_BYTES) {
    const tag = source.getUint16(at, true);
    if (!TAGS.has(tag)) return undefined;
    target.setUint16(length, tag, true);
    target.setUint16(length + 2, source.getUint16(at + 2, true), true);
    length += SHORT_ENTRY_BYTES;
    if (tag === TAG_USER || tag === TAG_GROUP) {
      target.setUint32(length, source.getUint32(at + 4, true), true);
      length += 4;
    }
  }
  return new Uint8Array(target.buffer, 0, length);
}
