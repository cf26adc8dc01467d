import {
  EXPORT_PADDING_BYTES,
  GREETING_MAGIC,
  HANDSHAKE_FLAG,
  INFO,
  OPTION_MAGIC,
  OPTION_REPLY,
  OPTION_REPLY_BYTES,
  OPTION_REPLY_MAGIC,
  PAYLOAD_BYTES_MAX,
  PREFERRED_BLOCK_BYTES,
} from "./protocol.js";

/** What a client is told of an export in any way of asking for it. */
export interface ExportInfo {
  readonly sizeBytes: number;
  readonly flags: number;
}

export function greeting(): Buffer {
  const message = Buffer.alloc(18);
  message.writeBigUInt64BE(GREETING_MAGIC, 0);
  message.writeBigUInt64BE(OPTION_MAGIC, 8);
  message.writeUInt16BE(HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes, 16);
  return message;
}

/** The answer to `NBD_OPT_EXPORT_NAME`, which is the only one without a header. */
export function exportNameAnswer({ sizeBytes, flags }: ExportInfo, padded: boolean): Buffer {
  const message = Buffer.alloc(10 + (padded ? EXPORT_PADDING_BYTES : 0));
  message.writeBigUInt64BE(BigInt(sizeBytes), 0);
  message.writeUInt16BE(flags, 8);
  return message;
}

export function optionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const message = Buffer.alloc(OPTION_REPLY_BYTES + data.length);
  message.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  message.writeUInt32BE(option, 8);
  message.writeUInt32BE(type, 12);
  message.writeUInt32BE(data.length, 16);
  message.set(data, OPTION_REPLY_BYTES);
  return message;
}

/** `NBD_REP_SERVER`: one export of the list. */
export function serverReply(option: number, name: string): Buffer {
  return optionReply(option, OPTION_REPLY.server, prefixed(Buffer.byteLength(name), name));
}

/** `NBD_REP_META_CONTEXT` */
export function metaContextReply(option: number, id: number, name: string): Buffer {
  return optionReply(option, OPTION_REPLY.metaContext, prefixed(id, name));
}

/** `NBD_REP_INFO` with what a client cannot do without. */
export function exportInfoReply(option: number, { sizeBytes, flags }: ExportInfo): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt16BE(INFO.export, 0);
  data.writeBigUInt64BE(BigInt(sizeBytes), 2);
  data.writeUInt16BE(flags, 10);
  return optionReply(option, OPTION_REPLY.info, data);
}

export function nameInfoReply(option: number, name: string): Buffer {
  const data = Buffer.alloc(2 + Buffer.byteLength(name));
  data.writeUInt16BE(INFO.name, 0);
  data.write(name, 2);
  return optionReply(option, OPTION_REPLY.info, data);
}

/** Any byte can be read alone: the defaults of the protocol, told to those who ask. */
export function blockSizeInfoReply(option: number): Buffer {
  const data = Buffer.alloc(14);
  data.writeUInt16BE(INFO.blockSize, 0);
  data.writeUInt32BE(1, 2);
  data.writeUInt32BE(PREFERRED_BLOCK_BYTES, 6);
  data.writeUInt32BE(PAYLOAD_BYTES_MAX, 10);
  return optionReply(option, OPTION_REPLY.info, data);
}

function prefixed(number: number, text: string): Buffer {
  const data = Buffer.alloc(4 + Buffer.byteLength(text));
  data.writeUInt32BE(number, 0);
  data.write(text, 4);
  return data;
}
