import type { CallOptions } from "@lamella/refs";

import { RegistryError } from "./errors.js";
import type { UploadStorage } from "./storage.js";
import { UploadSession } from "./upload-session.js";
import type { UploadSink } from "./upload-session.js";

export interface UploadSessionsOptions {
  /** Opens a place for the bytes of a new upload to a repository. */
  open: (repository: string) => Promise<UploadSink>;
  /** Uploads open at once; one more is refused with `uploads_exhausted`. 256 if not given. */
  maxUploads?: number;
  /** An upload that nobody has used for so long is discarded when another call comes. One hour if not given. */
  idleMs?: number;
  /** The time in milliseconds. */
  now?: () => number;
}

/** Disposing of them discards every upload, each as soon as the call that is using it has ended. */
export interface UploadSessions extends UploadStorage, AsyncDisposable {}

/**
 * The uploads of any storage that can write, read again and publish one stream of bytes. Identifiers, turns, digests, idle
 * uploads and their number are seen to here. The list is in memory, so uploads do not outlive the process.
 */
export function createUploadSessions(options: UploadSessionsOptions): UploadSessions {
  const { open, maxUploads = 256, idleMs = 3_600_000, now = Date.now } = options;
  const lastUsedMs = new Map<UploadSession, number>();
  const byId = new Map<string, UploadSession>();
  let opening = 0;

  function forget(session: UploadSession): void {
    byId.delete(session.id);
    lastUsedMs.delete(session);
  }

  async function discardIdle(): Promise<void> {
    const limit = now() - idleMs;
    const idle: UploadSession[] = [];
    for (const [session, usedMs] of lastUsedMs) {
      if (session.busy) lastUsedMs.set(session, now());
      else if (usedMs <= limit) idle.push(session);
    }
    await Promise.all(idle.map((session) => session.discard()));
  }

  return {
    async begin(repository, call: CallOptions = {}) {
      call.signal?.throwIfAborted();
      await discardIdle();
      if (byId.size + opening >= maxUploads) {
        throw new RegistryError("uploads_exhausted", `cannot begin an upload: ${maxUploads} are open, the limit`);
      }
      opening += 1;
      try {
        const session = new UploadSession(repository, await open(repository), forget);
        byId.set(session.id, session);
        lastUsedMs.set(session, now());
        return session;
      } finally {
        opening -= 1;
      }
    },

    async find(repository, id, call: CallOptions = {}) {
      call.signal?.throwIfAborted();
      await discardIdle();
      const session = byId.get(id);
      if (session?.repository !== repository) return undefined;
      lastUsedMs.set(session, now());
      return session;
    },

    async [Symbol.asyncDispose]() {
      await Promise.all([...byId.values()].map((session) => session.discard()));
    },
  };
}
