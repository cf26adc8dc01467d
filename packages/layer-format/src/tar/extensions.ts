import { bytesToByteString } from "../byte-string.js";
import type { LayerLimits } from "../limits.js";
import { parsePaxRecords, type PaxRecords } from "./pax-records.js";
import type { TarHeader } from "./header.js";
import { TYPE } from "./layout.js";
import type { Refuse } from "./refusal.js";

/** What extended headers say of the entry that follows them. */
interface Extensions {
  readonly pax?: PaxRecords | undefined;
  /** GNU's long names; empty where there is none. They come before those of PAX. */
  readonly longName: string;
  readonly longLink: string;
}

/** Gathers the extended headers before an entry, whose bodies may come in pieces. */
export interface ExtensionReader {
  /** Begins an extended header. Gives how many bytes of body follow. */
  begin(header: TarHeader): number;
  /** True while a body is at work, to which these bytes belong. */
  data(bytes: Uint8Array): boolean;
  /** Hands over what has gathered. */
  take(): Extensions;
}

const NONE: Extensions = { longName: "", longLink: "" };

export function isExtension(type: number): boolean {
  return type === TYPE.pax || type === TYPE.paxGlobal || type === TYPE.longName || type === TYPE.longLink;
}

export function createExtensionReader(limits: LayerLimits, refuse: Refuse): ExtensionReader {
  let gathered = NONE;
  let body: Uint8Array | undefined;
  let filled = 0;
  let type = 0;

  function begin(header: TarHeader): number {
    if (header.size > limits.headerBytes) {
      refuse("layer_limit", `an extended header has over ${limits.headerBytes} bytes`);
    }
    body = new Uint8Array(header.size);
    filled = 0;
    type = header.type;
    if (header.size === 0) finish(body);
    return header.size;
  }

  function data(bytes: Uint8Array): boolean {
    if (body === undefined) return false;
    body.set(bytes, filled);
    filled += bytes.length;
    if (filled === body.length) finish(body);
    return true;
  }

  function finish(bytes: Uint8Array): void {
    body = undefined;
    if (type === TYPE.longName) gathered = { ...gathered, longName: textUntilNul(bytes) };
    else if (type === TYPE.longLink) gathered = { ...gathered, longLink: textUntilNul(bytes) };
    else {
      const pax = parsePaxRecords(bytes, refuse);
      // A global header applies to nothing, and what came before it is lost: so Go's reader has it.
      gathered = type === TYPE.paxGlobal ? NONE : { ...gathered, pax };
    }
  }

  function take(): Extensions {
    const taken = gathered;
    gathered = NONE;
    return taken;
  }

  return { begin, data, take };
}

function textUntilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return bytesToByteString(end < 0 ? bytes : bytes.subarray(0, end));
}
