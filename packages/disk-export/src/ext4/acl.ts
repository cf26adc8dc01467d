import { ACL_ENTRY_BYTES, ACL_VERSION_BYTES, isPosixAcl, namesSomeone } from "../posix-acl.js";

/*
 * A POSIX ACL as ext4 keeps it: only entries that name someone have an id.
 *
 *  getxattr:  | version 2, 4 bytes | tag 2 | permissions 2 | id 4 | ...
 *  ext4:      | version 1, 4 bytes | tag 2 | permissions 2 | [id 4] | ...
 */
const DISK_VERSION = 1;
const SHORT_ENTRY_BYTES = 4;

/** The form on the disk, or nothing if the value is not an ACL with entries. */
export function encodeAcl(value: Uint8Array): Uint8Array | undefined {
  if (!isPosixAcl(value)) return undefined;
  const source = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const target = new DataView(new ArrayBuffer(value.length));
  target.setUint32(0, DISK_VERSION, true);
  let length = ACL_VERSION_BYTES;
  for (let at = ACL_VERSION_BYTES; at < value.length; at += ACL_ENTRY_BYTES) {
    const tag = source.getUint16(at, true);
    target.setUint16(length, tag, true);
    target.setUint16(length + 2, source.getUint16(at + 2, true), true);
    length += SHORT_ENTRY_BYTES;
    if (namesSomeone(tag)) {
      target.setUint32(length, source.getUint32(at + 4, true), true);
      length += 4;
    }
  }
  return new Uint8Array(target.buffer, 0, length);
}
