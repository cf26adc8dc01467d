import { createDigester } from "@lamella/refs";
import type { Digest } from "@lamella/refs";

/** Undefined is a value of its own, other than the empty text. */
export type Field = string | Uint8Array | number | boolean | undefined | readonly Field[];

const encoder = new TextEncoder();
/** Tags of the kinds of fields. */
const TEXT = 1;
const BYTES = 2;
const NUMBER = 3;
const BOOLEAN = 4;
const ABSENT = 5;
const LIST = 6;

/**
 * Digests fields such that other fields, or the same ones cut apart elsewhere, never give the same bytes to the hash: each is its kind, its length
 * and its bytes, lists are their kind, their count and their fields.
 */
export interface FramedDigest {
  add(...fields: readonly Field[]): void;
  digest(): Digest;
}

/** @param domain says what the digest is of and in which version: digests of different domains never agree. */
export function createFramedDigest(domain: string): FramedDigest {
  const digester = createDigester();
  const head = new Uint8Array(9);
  const view = new DataView(head.buffer);
  const frame = (kind: number, length: number): void => {
    head[0] = kind;
    view.setBigUint64(1, BigInt(length));
    digester.update(head);
  };
  const bytes = (kind: number, value: Uint8Array): void => {
    frame(kind, value.length);
    digester.update(value);
  };
  const add = (field: Field): void => {
    if (field === undefined) frame(ABSENT, 0);
    else if (typeof field === "string") bytes(TEXT, encoder.encode(field));
    else if (typeof field === "number") bytes(NUMBER, encoder.encode(String(field)));
    else if (typeof field === "boolean") frame(BOOLEAN, field ? 1 : 0);
    else if (field instanceof Uint8Array) bytes(BYTES, field);
    else {
      frame(LIST, field.length);
      for (const item of field) add(item);
    }
  };
  add(domain);
  return {
    add(...fields) {
      for (const field of fields) add(field);
    },
    digest: () => digester.digest(),
  };
}

/** The digest of a few fields. */
export function digestFields(domain: string, ...fields: readonly Field[]): Digest {
  const framed = createFramedDigest(domain);
  framed.add(...fields);
  return framed.digest();
}
