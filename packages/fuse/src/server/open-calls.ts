import { setTimeout as sleep } from "node:timers/promises";

import { FuseError } from "../errors.js";
import { PROTOCOL } from "../protocol/layout.js";
import { isBeingKilled } from "./fatal-signal.js";
import type { ReplyDevice } from "./reply-device.js";

const KILL_POLL_MS = 100;
const { EINTR, EIO } = PROTOCOL.errno;

/** A request that is to be answered. */
export interface OpenCall {
  /** Aborted when it has been answered with an error already: by the time limit, or as nobody waits any more. */
  readonly signal: AbortSignal;
  /** The first answer counts. */
  answer(result: Uint8Array): void;
}

export interface OpenCallsOptions {
  readonly device: ReplyDevice;
  readonly timeoutMs: number;
}

/** Requests that take their time. */
export interface OpenCalls {
  readonly count: number;
  /**
   * Answers a request by what `work` does, with EIO if it rejects or the limit is over, whether or not `work` heeds the signal. `onError` is told of
   * each EIO.
   */
  begin(
    request: { readonly unique: bigint; readonly pid?: number },
    work: (call: OpenCall) => Promise<void>,
    onError: (error: unknown) => void,
  ): void;
  /**
   * A signal came to who asked. Answers with EINTR once that is being killed. Another signal does not end a read, as it does not on a disk: no
   * program expects that of a file.
   */
  interrupt(unique: bigint): void;
  /** Gives up all of them. */
  close(): void;
}

interface Pending {
  readonly pid: number;
  readonly abort: AbortController;
  fail(errno: number): boolean;
}

export function createOpenCalls({ device, timeoutMs }: OpenCallsOptions): OpenCalls {
  const pending = new Map<bigint, Pending>();

  async function endWhenKilled(unique: bigint, call: Pending): Promise<void> {
    while (pending.get(unique) === call) {
      if (await isBeingKilled(call.pid)) {
        if (call.fail(EINTR)) call.abort.abort(new Error("who read has been killed"));
        return;
      }
      await sleep(KILL_POLL_MS, undefined, { ref: false });
    }
  }

  return {
    get count() {
      return pending.size;
    },
    begin({ unique, pid = 0 }, work, onError) {
      const abort = new AbortController();
      const settle = (): boolean => {
        clearTimeout(limit);
        return pending.delete(unique);
      };
      const fail = (errno: number): boolean => {
        const isFirst = settle();
        if (isFirst) device.fail(unique, errno);
        return isFirst;
      };
      const failed = (error: unknown): void => {
        if (!fail(EIO)) return;
        abort.abort(error);
        onError(error);
      };
      const limit = setTimeout(
        () => failed(new FuseError("read_failed", `cannot read in time: over the limit of ${timeoutMs} ms`)),
        timeoutMs,
      );
      pending.set(unique, { pid, abort, fail });
      const answer = (result: Uint8Array): void => {
        if (settle()) device.reply(unique, result);
      };
      work({ signal: abort.signal, answer }).catch(failed);
    },
    interrupt(unique) {
      const call = pending.get(unique);
      // Not to know of the process is no reason for more than to wait.
      if (call !== undefined) endWhenKilled(unique, call).catch(() => undefined);
    },
    close() {
      for (const { abort, fail } of pending.values()) {
        fail(EIO);
        abort.abort(new Error("the file system was unmounted"));
      }
    },
  };
}
