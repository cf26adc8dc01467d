import type { OpenDestination } from "@lamella/image-store";
import { copyImage } from "@lamella/oci-client";
import type { Copied, CopyOptions, CopySource } from "@lamella/oci-client";

import type { GlobalOptions } from "./options.js";
import { printResult } from "./output.js";
import { showProgress } from "./progress.js";
import { formatSize } from "./size.js";

export interface CopyRun {
  /** As the user wrote it. */
  readonly to: string;
  readonly title: string;
  readonly options: GlobalOptions;
  readonly copy: CopyOptions;
}

/** Copies with progress, commits, and prints what the destination now has. */
export async function runCopy(source: CopySource, destination: OpenDestination, run: CopyRun): Promise<void> {
  const { to, title, options, copy } = run;
  const progress = showProgress(options, title);
  let copied: Copied;
  try {
    copied = await copyImage(source, destination, {
      ...copy,
      onProgress: ({ blob, state, isTransferred, doneBytes, totalBytes }) =>
        progress.layer({
          layer: blob.digest,
          state: state === "waiting" ? "waiting" : state === "copying" ? "pulling" : "done",
          cached: state === "done" && !isTransferred,
          doneBytes,
          totalBytes,
        }),
    });
    await destination.commit({ signal: copy.signal });
  } finally {
    progress.stop();
  }
  const { descriptor, blobs, transferredBlobs, transferredBytes } = copied;
  printResult(options, process.stdout, {
    json: {
      destination: to,
      digest: descriptor.digest,
      mediaType: descriptor.mediaType,
      blobs,
      transferredBlobs,
      transferredBytes,
    },
    text: () =>
      `${to}  ${descriptor.digest}  ${transferredBlobs} of ${blobs} blobs copied, ${formatSize(transferredBytes)}\n`,
  });
}
