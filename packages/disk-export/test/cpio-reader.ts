import { sha256 } from "./bytes.js";

export interface CpioRead {
  path: string;
  inode: number;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  mtimeSeconds: number;
  device: string;
  size: number;
  linkTarget: string;
  sha256: string;
}

/** Reads a newc archive back, written from the format's description alone. */
export function readCpio(archive: Uint8Array): CpioRead[] {
  const image = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const read: CpioRead[] = [];
  for (let at = 0; ;) {
    if (image.toString("latin1", at, at + 6) !== "070701") throw new Error(`no member at ${at}`);
    const numbers = Array.from({ length: 13 }, (_, index) =>
      Number.parseInt(image.toString("latin1", at + 6 + 8 * index, at + 14 + 8 * index), 16),
    );
    const [
      inode = 0,
      mode = 0,
      uid = 0,
      gid = 0,
      links = 0,
      mtimeSeconds = 0,
      size = 0,
      ,
      ,
      major = 0,
      minor = 0,
      nameSize = 0,
    ] = numbers;
    const name = image.toString("latin1", at + 110, at + 110 + nameSize - 1);
    if (image[at + 110 + nameSize - 1] !== 0) throw new Error(`no NUL after ${name}`);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    const data = image.subarray(start, start + size);
    at = Math.ceil((start + size) / 4) * 4;
    if (name === "TRAILER!!!") {
      if (image.length % 512 !== 0 || image.subarray(at).some((byte) => byte !== 0))
        throw new Error("the archive does not end in zeros");
      return read;
    }
    const linkTarget = mode >> 12 === 10 ? data.toString("latin1") : "";
    read.push({
      path: name,
      inode,
      mode,
      uid,
      gid,
      links,
      mtimeSeconds,
      device: `${major}:${minor}`,
      size,
      linkTarget,
      sha256: sha256(data),
    });
  }
}
