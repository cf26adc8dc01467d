import type { Entry } from "@lamella/layer-format";

import { alignUp, writeByteString } from "../byte-layout.js";
import { ALIGNMENT, HEADER_BYTES, HEADER_FIELDS, MAGIC, NUMBER_MAX, TRAILER_NAME } from "./layout.js";
import type { CpioHeader } from "./layout.js";
import { fileMode, isDevice } from "../file-mode.js";

/** One name of the archive. */
export interface CpioMember {
  readonly entry: Entry;
  /** From 1. */
  readonly inode: number;
  links: number;
  /** How many bytes of a file, or of a link's target, come with this name. */
  size: number;
}

/** How many bytes come before the data. */
export function headLength({ entry }: CpioMember): number {
  return alignUp(HEADER_BYTES + memberName(entry).length + 1, ALIGNMENT);
}

/** How many bytes {@link writeMember} makes: all but a file's data. */
export function recordLength(member: CpioMember): number {
  return headLength(member) + member.entry.linkTarget.length;
}

export function writeMember(member: CpioMember, target: Uint8Array, at: number): void {
  const { entry, inode, links, size } = member;
  const device = isDevice(entry);
  const name = memberName(entry);
  const header = encodeHeader({
    inode,
    mode: fileMode(entry),
    uid: entry.uid,
    gid: entry.gid,
    links,
    mtimeSeconds: clampTime(entry.mtimeSeconds),
    size,
    deviceMajor: device ? entry.deviceMajor : 0,
    deviceMinor: device ? entry.deviceMinor : 0,
    nameSize: name.length + 1,
  });
  writeByteString(header + name, target, at);
  writeByteString(entry.linkTarget, target, at + headLength(member));
}

/** The member that ends an archive, without the zeros after it. */
export function trailer(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + TRAILER_NAME.length + 1);
  writeByteString(encodeHeader({ links: 1, nameSize: TRAILER_NAME.length + 1 }) + TRAILER_NAME, bytes, 0);
  return bytes;
}

/** The nearest time that the format can hold. */
export function clampTime(seconds: number): number {
  return Math.min(Math.max(seconds, 0), NUMBER_MAX);
}

function memberName(entry: Entry): string {
  return entry.path === "" ? "." : entry.path;
}

function encodeHeader(header: Partial<CpioHeader>): string {
  return MAGIC + HEADER_FIELDS.map((field) => (header[field] ?? 0).toString(16).padStart(8, "0")).join("");
}
