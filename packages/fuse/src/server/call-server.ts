import type { Entry, FileTree } from "@lamella/layer-format";

import { FuseError } from "../errors.js";
import { PROTOCOL } from "../protocol/layout.js";
import type { Call } from "../protocol/responder.js";
import { nodePath } from "../tree/node-path.js";
import type { TreeIndex } from "../tree/tree-index.js";
import { createOpenCalls, type OpenCall } from "./open-calls.js";
import { readExactly } from "./read-exactly.js";
import type { ReplyDevice } from "./reply-device.js";
import { createStateFiles, type StateFile } from "./state-files.js";

/** Each may hold a buffer of the largest read. */
const MAX_READS = 32;
const KEPT_ENTRIES = 1024;
const { ESTALE } = PROTOCOL.errno;

export interface CallServerOptions {
  readonly device: ReplyDevice;
  readonly tree: FileTree;
  readonly index: TreeIndex;
  readonly timeoutMs: number;
  readonly stateFile?: StateFile | undefined;
  readonly onReadError?: ((error: unknown, path: string) => void) | undefined;
}

export interface ReadStats {
  /** Reads of files that were answered with their bytes, and how many bytes. */
  readonly reads: number;
  readonly readBytes: number;
  /** Reads that were answered with EIO. */
  readonly failedReads: number;
  /** Reads, and questions for the state file, that are not answered yet. */
  readonly waiting: number;
}

/** Answers in the thread that has the tree what the serving thread cannot. */
export interface CallServer {
  handle(call: Call): void;
  stats(): ReadStats;
  /** Gives up all that is under way. */
  close(): void;
}

type ReadCall = Extract<Call, { kind: "read" }>;

/** Reads go to the tree some at a time; the others wait their turn, which counts for their time limit. */
export function createCallServer(options: CallServerOptions): CallServer {
  const { device, tree, index, timeoutMs, stateFile, onReadError } = options;
  const states = stateFile && createStateFiles(index.nodeCount, stateFile);
  const calls = createOpenCalls({ device, timeoutMs });
  const entries = new Map<number, Entry>();
  const queue: (() => void)[] = [];
  const stats = { reads: 0, readBytes: 0, failedReads: 0 };
  let running = 0;

  async function entryOf(node: number, signal: AbortSignal): Promise<Entry> {
    let entry = entries.get(node);
    if (entry === undefined) {
      const path = nodePath(index, node);
      entry = await tree.lookup(path, { signal });
      if (entry?.kind !== "file") throw new FuseError("tree_invalid", "cannot find a file that the tree has listed");
    }
    // The one that was asked for last is the last to go.
    entries.delete(node);
    entries.set(node, entry);
    if (entries.size > KEPT_ENTRIES) entries.delete(entries.keys().next().value!);
    return entry;
  }

  async function takeTurn(signal: AbortSignal): Promise<void> {
    if (running >= MAX_READS) await new Promise<void>((resolve) => queue.push(resolve));
    else running += 1;
    if (signal.aborted) endTurn();
    signal.throwIfAborted();
  }

  /** The next one takes over the place. */
  function endTurn(): void {
    const next = queue.shift();
    if (next === undefined) running -= 1;
    else next();
  }

  async function readFile({ node, offset, size }: ReadCall, { signal, answer }: OpenCall): Promise<void> {
    await takeTurn(signal);
    let hasTurn = true;
    const endThisTurn = (): void => {
      if (hasTurn) endTurn();
      hasTurn = false;
    };
    // A tree that does not heed the signal, or takes long to close what it read from, does not keep others from their turn.
    signal.addEventListener("abort", endThisTurn, { once: true });
    try {
      const entry = await entryOf(node, signal);
      await readExactly([tree, entry], { offset, length: size, signal }, (bytes) => {
        signal.throwIfAborted();
        answer(bytes);
        stats.reads += 1;
        stats.readBytes += size;
        endThisTurn();
      });
    } finally {
      endThisTurn();
    }
  }

  function read(call: ReadCall): void {
    const { unique, node, offset, size } = call;
    if (node >= index.nodeCount) {
      const bytes = states?.read(node, offset, size);
      if (bytes === undefined) device.fail(unique, ESTALE);
      else device.reply(unique, bytes);
      return;
    }
    calls.begin(
      call,
      (open) => readFile(call, open),
      (error) => {
        stats.failedReads += 1;
        onReadError?.(error, nodePath(index, node));
      },
    );
  }

  return {
    handle(call) {
      switch (call.kind) {
        case "read":
          read(call);
          return;
        case "state":
          calls.begin(
            call,
            async ({ answer }) => {
              if (states !== undefined) answer(await states.lookUp());
            },
            (error) => onReadError?.(error, ""),
          );
          return;
        case "attributes": {
          const result = states?.attributes(call.node);
          if (result === undefined) device.fail(call.unique, ESTALE);
          else device.reply(call.unique, result);
          return;
        }
        case "forget":
          states?.forget(call.node, call.lookups);
          return;
        case "interrupt":
          calls.interrupt(call.unique);
      }
    },
    stats: () => ({ ...stats, waiting: calls.count }),
    close: () => calls.close(),
  };
}
