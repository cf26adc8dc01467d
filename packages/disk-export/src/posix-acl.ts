/*
 * A POSIX ACL as getxattr(2) gives it. Facts from Linux: include/uapi/linux/posix_acl_xattr.h. Everything is little-endian.
 *
 *  | version 2, 4 bytes | tag 2 | permissions 2 | id 4 | ...
 */
export const ACL_VERSION = 2;
export const ACL_VERSION_BYTES = 4;
export const ACL_ENTRY_BYTES = 8;

/** `ACL_USER_OBJ | ACL_USER | ACL_GROUP_OBJ | ACL_GROUP | ACL_MASK | ACL_OTHER` */
const TAGS: ReadonlySet<number> = new Set([0x1, 0x2, 0x4, 0x8, 0x10, 0x20]);
const TAG_USER = 0x2;
const TAG_GROUP = 0x8;
export const ACL_NO_ID = 0xffffffff;

/** Whether the kernel can read a value as an ACL. A file with one that it cannot is a file that nobody can open. */
export function isPosixAcl(value: Uint8Array): boolean {
  if (value.length <= ACL_VERSION_BYTES || (value.length - ACL_VERSION_BYTES) % ACL_ENTRY_BYTES !== 0) return false;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0, true) !== ACL_VERSION) return false;
  for (let at = ACL_VERSION_BYTES; at < value.length; at += ACL_ENTRY_BYTES) {
    const tag = view.getUint16(at, true);
    if (!TAGS.has(tag)) return false;
    if (namesSomeone(tag) && view.getUint32(at + 4, true) === ACL_NO_ID) return false;
  }
  return true;
}

/** Whether an entry of this tag is for one user or one group; the others' ids mean nothing. */
export function namesSomeone(tag: number): boolean {
  return tag === TAG_USER || tag === TAG_GROUP;
}
