/**
 * The numbers of the NBD protocol, as doc/proto.md of the reference implementation has them. All integers are big-endian.
 *
 *     greeting    NBDMAGIC 8 | IHAVEOPT 8 | handshake flags 2           the client answers with flags 4
 *     option      IHAVEOPT 8 | option 4 | length 4 | data
 *     its replies magic 8 | option 4 | type 4 | length 4 | data
 *     request     magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 4
 *     simple      magic 4 | error 4 | cookie 8 | data
 *     structured  magic 4 | flags 2 | type 2 | cookie 8 | length 4 | payload
 */
export const GREETING_MAGIC = 0x4e42_444d_4147_4943n;
export const OPTION_MAGIC = 0x4948_4156_454f_5054n;
export const OPTION_REPLY_MAGIC = 0x3_e889_0455_65a9n;
export const REQUEST_MAGIC = 0x2560_9513;
export const SIMPLE_REPLY_MAGIC = 0x6744_6698;
export const STRUCTURED_REPLY_MAGIC = 0x668e_33ef;

export const OPTION_BYTES = 16;
export const OPTION_REPLY_BYTES = 20;
export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
export const STRUCTURED_REPLY_BYTES = 20;
/** What pads the answer to an export name. */
export const EXPORT_PADDING_BYTES = 124;
/** The longest string, in bytes of UTF-8. */
export const STRING_BYTES_MAX = 4096;

/** "Handshake flags" and "Client flags": the same bits. */
export const HANDSHAKE_FLAG = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const TRANSMISSION_FLAG = {
  hasFlags: 1,
  readOnly: 2,
  sendDf: 0x80,
  canMultiConn: 0x100,
  sendCache: 0x400,
} as const;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 0x8000_0001,
  invalid: 0x8000_0003,
  unknown: 0x8000_0006,
  tooBig: 0x8000_0009,
} as const;

export const INFO = { export: 0, name: 1, blockSize: 3 } as const;

export const COMMAND = { read: 0, write: 1, disconnect: 2, trim: 4, cache: 5, writeZeroes: 6, blockStatus: 7 } as const;

export const COMMAND_FLAG = { doNotFragment: 4, requestOne: 8 } as const;

export const CHUNK = { none: 0, data: 1, hole: 2, blockStatus: 5, error: 0x8001 } as const;
/** On the last chunk of a structured reply. */
export const CHUNK_DONE = 1;

/** Of the `base:allocation` context. */
export const STATE = { hole: 1, zero: 2 } as const;

/** "Error values". */
export const ERROR = { EPERM: 1, EIO: 5, EINVAL: 22, EOVERFLOW: 75 } as const;

/** What one read may ask for, as the protocol would have any server allow it. */
export const PAYLOAD_BYTES_MAX: number = 32 << 20;
export const PREFERRED_BLOCK_BYTES = 4096;
