import type { ByteReader } from "./byte-reader.js";
import { clientInvalid } from "./errors.js";
import type { Export } from "./exports.js";
import type { MessageWriter } from "./message-writer.js";
import { createNegotiation } from "./negotiation.js";
import type { Agreement, Option } from "./negotiation.js";
import { greeting, optionReply } from "./option-messages.js";
import { HANDSHAKE_FLAG, OPTION, OPTION_BYTES, OPTION_MAGIC, OPTION_REPLY } from "./protocol.js";

/** More than any option needs; what is longer is passed over. */
const OPTION_DATA_BYTES_MAX = 64 << 10;

interface Channel {
  readonly reader: ByteReader;
  readonly writer: MessageWriter;
}

/**
 * "Fixed newstyle negotiation", up to the transmission phase. Undefined if the client ends it.
 * @throws {NbdError} `client_invalid` for a client with which one cannot go on
 */
export async function shakeHands(
  { reader, writer }: Channel,
  exports: ReadonlyMap<string, Export>,
): Promise<Agreement | undefined> {
  await writer.send(greeting());
  const flags = (await reader.read(4))?.readUInt32BE(0);
  if (flags === undefined) return undefined;
  const known = HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes;
  if ((flags & ~known) !== 0) throw clientInvalid(`it set the flags 0x${flags.toString(16)}`);

  const padded = (flags & HANDSHAKE_FLAG.noZeroes) === 0;
  const answer = createNegotiation({ writer, exports, padded });
  for (;;) {
    const option = await nextOption({ reader, writer });
    if (option === undefined) return undefined;
    const agreement = await answer(option);
    if (agreement !== undefined) return agreement;
    if (option.type === OPTION.abort) return undefined;
  }
}

/** The next option, with all of its data; one that has too much is refused and passed over. */
async function nextOption({ reader, writer }: Channel): Promise<Option | undefined> {
  for (;;) {
    const head = await reader.read(OPTION_BYTES);
    if (head === undefined) return undefined;
    const magic = head.readBigUInt64BE(0);
    if (magic !== OPTION_MAGIC) throw clientInvalid(`its option begins with 0x${magic.toString(16)}`);
    const type = head.readUInt32BE(8);
    const length = head.readUInt32BE(12);
    if (length <= OPTION_DATA_BYTES_MAX) {
      const data = await reader.read(length);
      return data && { type, data };
    }
    if (type === OPTION.exportName) throw clientInvalid(`it asked for a name of ${length} bytes`);
    if (!(await reader.skip(length))) return undefined;
    await writer.send(optionReply(type, OPTION_REPLY.tooBig));
  }
}
