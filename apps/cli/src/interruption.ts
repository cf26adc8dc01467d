import { Interrupted } from "./exit-status.js";

/** Runs a piece of work with a signal that aborts on Ctrl-C and SIGTERM. */
export async function withInterruption<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const interrupt = (signal: "SIGINT" | "SIGTERM"): void => abort.abort(new Interrupted(signal));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    return await use(abort.signal);
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}
