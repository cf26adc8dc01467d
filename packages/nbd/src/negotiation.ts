import { quote } from "@lamella/refs";

import { clientInvalid } from "./errors.js";
import type { Export } from "./exports.js";
import type { MessageWriter } from "./message-writer.js";
import { parseInfoRequest, parseMetaContextRequest, parseString } from "./option-data.js";
import {
  blockSizeInfoReply,
  exportInfoReply,
  exportNameAnswer,
  metaContextReply,
  nameInfoReply,
  optionReply,
  serverReply,
} from "./option-messages.js";
import type { ExportInfo } from "./option-messages.js";
import { INFO, OPTION, OPTION_REPLY, TRANSMISSION_FLAG } from "./protocol.js";

const ALLOCATION_CONTEXT = "base:allocation";
const ALLOCATION_CONTEXT_ID = 1;

/** What a client asks for in the handshake, and all data that it gave with it. */
export interface Option {
  readonly type: number;
  readonly data: Buffer;
}

/** What client and server agreed on. */
export interface Agreement {
  readonly disk: Export;
  /** Whether replies are structured. */
  readonly structured: boolean;
  /** Under which ID the client wants to know of holes. */
  readonly contextId: number | undefined;
}

interface NegotiationOptions {
  readonly writer: MessageWriter;
  readonly exports: ReadonlyMap<string, Export>;
  /** Whether the answer to an export name ends in zeros. */
  readonly padded: boolean;
}

/**
 * Answers one option of a client after the other; an agreement ends the handshake.
 * It throws `client_invalid` where the protocol has no answer but to hang up.
 */
export function createNegotiation({
  writer,
  exports,
  padded,
}: NegotiationOptions): (option: Option) => Promise<Agreement | undefined> {
  let structured = false;
  /** The disk of which the client wants to know the holes. */
  let contextOf: Export | undefined;

  function agreement(disk: Export): Agreement {
    return { disk, structured, contextId: contextOf === disk ? ALLOCATION_CONTEXT_ID : undefined };
  }

  function infoOf({ source: { sizeBytes } }: Export): ExportInfo {
    const { hasFlags, readOnly, canMultiConn, sendCache, sendDf } = TRANSMISSION_FLAG;
    return { sizeBytes, flags: hasFlags | readOnly | canMultiConn | sendCache | (structured ? sendDf : 0) };
  }

  function accept(type: number): Promise<void> {
    return writer.send(optionReply(type, OPTION_REPLY.ack));
  }

  function refuse(type: number, reply: number, why: string): Promise<void> {
    return writer.send(optionReply(type, reply, Buffer.from(why)));
  }

  async function chooseByName({ data }: Option): Promise<Agreement> {
    const name = parseString(data);
    const disk = name === undefined ? undefined : exports.get(name);
    if (disk === undefined) throw clientInvalid(`it asked for ${quote(name ?? "")}: no such disk`);
    await writer.send(exportNameAnswer(infoOf(disk), padded));
    return agreement(disk);
  }

  async function tellInfo({ type, data }: Option): Promise<Agreement | undefined> {
    const request = parseInfoRequest(data);
    if (request === undefined) {
      await refuse(type, OPTION_REPLY.invalid, "not a request for information");
      return undefined;
    }
    const disk = exports.get(request.name);
    if (disk === undefined) {
      await refuse(type, OPTION_REPLY.unknown, "no such disk");
      return undefined;
    }
    await writer.send(exportInfoReply(type, infoOf(disk)));
    if (request.wanted.has(INFO.name)) await writer.send(nameInfoReply(type, disk.name));
    if (request.wanted.has(INFO.blockSize)) await writer.send(blockSizeInfoReply(type));
    await accept(type);
    return type === OPTION.go ? agreement(disk) : undefined;
  }

  async function negotiateContext({ type, data }: Option): Promise<void> {
    const selects = type === OPTION.setMetaContext;
    if (selects) contextOf = undefined;
    const request = parseMetaContextRequest(data);
    if (request === undefined) return refuse(type, OPTION_REPLY.invalid, "not a query");
    if (!structured) return refuse(type, OPTION_REPLY.invalid, "only with structured replies");
    const disk = exports.get(request.name);
    if (disk === undefined) return refuse(type, OPTION_REPLY.unknown, "no such disk");
    const { queries } = request;
    const lists = !selects && (queries.length === 0 || queries.includes("base:"));
    if (lists || queries.includes(ALLOCATION_CONTEXT)) {
      await writer.send(metaContextReply(type, selects ? ALLOCATION_CONTEXT_ID : 0, ALLOCATION_CONTEXT));
      if (selects) contextOf = disk;
    }
    return accept(type);
  }

  async function withoutData({ type, data }: Option, perform: () => Promise<void>): Promise<void> {
    if (data.length > 0) return refuse(type, OPTION_REPLY.invalid, "the option has no data");
    await perform();
    return accept(type);
  }

  return async (option) => {
    const { type } = option;
    switch (type) {
      case OPTION.exportName:
        return chooseByName(option);
      case OPTION.info:
      case OPTION.go:
        return tellInfo(option);
      case OPTION.abort:
        await accept(type);
        break;
      case OPTION.list:
        await withoutData(option, async () => {
          for (const name of exports.keys()) await writer.send(serverReply(type, name));
        });
        break;
      case OPTION.structuredReply:
        await withoutData(option, async () => {
          structured = true;
        });
        break;
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        await negotiateContext(option);
        break;
      case OPTION.startTls:
        await refuse(type, OPTION_REPLY.unsupported, "no TLS: nothing leaves this machine");
        break;
      default:
        await refuse(type, OPTION_REPLY.unsupported, "not known");
    }
    return undefined;
  };
}
