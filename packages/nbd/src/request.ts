import { clientInvalid } from "./errors.js";
import { COMMAND, COMMAND_FLAG, ERROR, PAYLOAD_BYTES_MAX, REQUEST_MAGIC } from "./protocol.js";

/** "Request message" */
export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
}

/** @throws {NbdError} `client_invalid` if it is none */
export function parseRequest(head: Buffer): Request {
  const magic = head.readUInt32BE(0);
  if (magic !== REQUEST_MAGIC) throw clientInvalid(`its request begins with 0x${magic.toString(16)}`);
  return {
    flags: head.readUInt16BE(4),
    type: head.readUInt16BE(6),
    cookie: head.readBigUInt64BE(8),
    // one that is no safe integer is beyond every disk all the same
    offset: Number(head.readBigUInt64BE(16)),
    length: head.readUInt32BE(24),
  };
}

/** Why a request is not answered as it wants, and the number for it. */
export interface Refusal {
  readonly error: number;
  readonly text: string;
}

export interface RequestLimits {
  readonly sizeBytes: number;
  readonly structured: boolean;
  /** Whether the client asked for the context that tells of holes. */
  readonly hasContext: boolean;
}

/** Undefined for a request that can be answered. */
export function refusalOf(
  { type, flags, offset, length }: Request,
  { sizeBytes, structured, hasContext }: RequestLimits,
): Refusal | undefined {
  switch (type) {
    case COMMAND.write:
    case COMMAND.trim:
    case COMMAND.writeZeroes:
      return { error: ERROR.EPERM, text: "the disk is read-only" };
    case COMMAND.read:
      if ((flags & ~(structured ? COMMAND_FLAG.doNotFragment : 0)) !== 0) return UNKNOWN_FLAG;
      if (length > PAYLOAD_BYTES_MAX) return { error: ERROR.EINVAL, text: `over ${PAYLOAD_BYTES_MAX} bytes` };
      break;
    case COMMAND.cache:
      if (flags !== 0) return UNKNOWN_FLAG;
      if (length > PAYLOAD_BYTES_MAX) return { error: ERROR.EOVERFLOW, text: `over ${PAYLOAD_BYTES_MAX} bytes` };
      break;
    case COMMAND.blockStatus:
      if ((flags & ~COMMAND_FLAG.requestOne) !== 0) return UNKNOWN_FLAG;
      if (!hasContext) return { error: ERROR.EINVAL, text: "no context was agreed on" };
      if (length === 0) return { error: ERROR.EINVAL, text: "nothing is asked for" };
      break;
    default:
      return { error: ERROR.EINVAL, text: "the command is not known" };
  }
  if (offset + length > sizeBytes)
    return { error: ERROR.EINVAL, text: `${length} bytes at ${offset} are not within ${sizeBytes}` };
  return undefined;
}

const UNKNOWN_FLAG: Refusal = { error: ERROR.EINVAL, text: "a flag is not known" };
