import { quote } from "@lamella/refs";

import { DaemonError } from "../errors.js";

const DAY_MS = 86_400_000;
const MAX_ANSWERS = 10_000;
const MAX_BYTES = 16 << 20;

export interface IdempotentAnswersOptions {
  readonly maxAnswers?: number | undefined;
  readonly maxBytes?: number | undefined;
  /** How long an answer is kept; a day by default. */
  readonly keepMs?: number | undefined;
  readonly now?: (() => number) | undefined;
}

/** Gives to whoever sends a request again under its key what it was answered, without doing it again. */
export interface IdempotentAnswers {
  /**
   * The answer of `work`, or that of its first call under this key; who comes meanwhile waits for it. Work that fails has not been done: the next call does
   * it anew. Answers are kept in memory, until they are too old, too many or too large together, the oldest first.
   *
   * @param request what was asked for; under one key always the same
   * @throws {DaemonError} `key_reused`
   */
  once(key: string, request: string, work: () => Promise<string>): Promise<string>;
}

interface Kept {
  readonly request: string;
  readonly answer: Promise<string>;
  readonly since: number;
  /** Undefined as long as it is worked at. */
  bytes: number | undefined;
}

export function createIdempotentAnswers(options: IdempotentAnswersOptions = {}): IdempotentAnswers {
  const { maxAnswers = MAX_ANSWERS, maxBytes = MAX_BYTES, keepMs = DAY_MS, now = Date.now } = options;
  /** The oldest first. */
  const kept = new Map<string, Kept>();
  let totalBytes = 0;

  function forget(key: string, { bytes = 0 }: Kept): void {
    kept.delete(key);
    totalBytes -= bytes;
  }

  function makeRoom(): void {
    for (const [key, each] of kept) {
      const isOld = now() - each.since >= keepMs;
      if (!isOld && kept.size <= maxAnswers && totalBytes <= maxBytes) return;
      if (each.bytes !== undefined) forget(key, each);
    }
  }

  return {
    async once(key, request, work) {
      makeRoom();
      const found = kept.get(key);
      if (found !== undefined) {
        if (found.request === request) return found.answer;
        const state = "it came with another request before";
        throw new DaemonError("key_reused", `cannot take the idempotency key ${quote(key)}: ${state}`);
      }
      const fresh: Kept = { request, answer: work(), since: now(), bytes: undefined };
      kept.set(key, fresh);
      try {
        const answer = await fresh.answer;
        fresh.bytes = key.length + request.length + answer.length;
        totalBytes += fresh.bytes;
        makeRoom();
        return answer;
      } catch (error) {
        forget(key, fresh);
        throw error;
      }
    },
  };
}
