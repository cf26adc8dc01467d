import type { Replies } from "../protocol/replies.js";
import type { Responder } from "../protocol/responder.js";
import type { Device } from "./device.js";

export interface ServeParts {
  readonly respond: Responder;
  readonly replies: Replies;
  /** The first is the number of requests. */
  readonly counts: Float64Array;
  /** Called when the first request has been answered: by then the kernel has taken up what INIT settles. */
  onReady(): void;
}

/**
 * Answers one request after the other, until the file system is unmounted.
 *
 * Self-contained: its text is run in a thread of its own.
 */
export function serve(device: Device, { respond, replies, counts, onReady }: ServeParts): void {
  const { request } = device;
  const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;
  for (let isReady = false; ;) {
    let length = 0;
    try {
      length = device.read();
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENODEV") return;
      // ENOENT: who asked has gone before we heard of it.
      if (code === "ENOENT" || code === "EINTR" || code === "EAGAIN") continue;
      throw error;
    }
    if (length === 0) return;
    counts[0]! += 1;
    const answer = respond(request, length);
    if (answer === 0) continue;
    try {
      device.write(replies.buffer, answer);
    } catch (error) {
      if (codeOf(error) === "ENODEV") return;
      if (codeOf(error) !== "ENOENT") throw error;
    }
    if (!isReady) onReady();
    isReady = true;
  }
}
