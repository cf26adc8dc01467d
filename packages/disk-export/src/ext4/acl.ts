import { ACL_ENTRY_BYTES, ACL_NO_ID, ACL_VERSION, ACL_VERSION_BYTES, isPosixAcl, namesSomeone } from "../posix-acl.js";

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

/** The form that `getxattr` gives, or nothing if the value is not what {@link encodeAcl} makes. */
export function decodeAcl(value: Uint8Array): Uint8Array | undefined {
  const source = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < ACL_VERSION_BYTES || source.getUint32(0, true) !== DISK_VERSION) return undefined;
  const entries: number[] = [];
  for (let at = ACL_VERSION_BYTES; at < value.length;) {
    if (at + SHORT_ENTRY_BYTES > value.length) return undefined;
    const tag = source.getUint16(at, true);
    const length = SHORT_ENTRY_BYTES + (namesSomeone(tag) ? 4 : 0);
    if (at + length > value.length) return undefined;
    entries.push(tag, source.getUint16(at + 2, true), namesSomeone(tag) ? source.getUint32(at + 4, true) : ACL_NO_ID);
    at += length;
  }
  const target = new DataView(new ArrayBuffer(ACL_VERSION_BYTES + (entries.length / 3) * ACL_ENTRY_BYTES));
  target.setUint32(0, ACL_VERSION, true);
  for (let index = 0, at = ACL_VERSION_BYTES; index < entries.length; index += 3, at += ACL_ENTRY_BYTES) {
    target.setUint16(at, entries[index]!, true);
    target.setUint16(at + 2, entries[index + 1]!, true);
    target.setUint32(at + 4, entries[index + 2]!, true);
  }
  return new Uint8Array(target.buffer);
}
