import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ask } from "../api/request.js";
import type { GarbageReport } from "../api/types.js";
import { byteSize, count } from "../format/byte-size.js";
import { announce } from "../parts/announcer.js";
import { Dialog } from "../parts/dialog.js";
import { Failure, Loading } from "../parts/notes.js";

export interface GarbageDialogProps {
  readonly onClose: () => void;
  readonly onFreed: () => void;
}

/** Shows what would go before anything goes. */
export function GarbageDialog({ onClose, onFreed }: GarbageDialogProps): JSX.Element {
  const [alsoYoung, setAlsoYoung] = useState(false);
  const [report, setReport] = useState<GarbageReport>();
  const [busy, setBusy] = useState(true);
  const [error, setError] = useState<unknown>();
  const running = useRef<AbortController | undefined>(undefined);

  const run = async (dryRun: boolean): Promise<void> => {
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    setBusy(true);
    setError(undefined);
    const body = { dry_run: dryRun, ...(alsoYoung ? { grace_seconds: 0 } : {}) };
    try {
      const value = await ask<GarbageReport>("/gc", { method: "POST", body, signal });
      setReport(value);
      if (!dryRun) announce(`${byteSize(value.freed_bytes)} freed`);
      if (!dryRun) onFreed();
    } catch (failure) {
      if (signal.aborted) return;
      setError(failure);
    }
    setBusy(false);
  };
  useEffect(() => void run(true), [alsoYoung]);
  useEffect(() => () => running.current?.abort(), []);

  const isDone = report?.dry_run === false;
  return (
    <Dialog
      title={isDone ? "Garbage is collected" : "Collect garbage"}
      onClose={onClose}
      onSubmit={() => (isDone ? onClose() : void run(false))}
      actions={
        isDone ? (
          <button type="submit" class="primary" autofocus>
            Close
          </button>
        ) : (
          <>
            <button type="button" onClick={onClose}>
              Close
            </button>
            <button type="submit" class="primary" disabled={busy || report === undefined}>
              {report === undefined ? "Free" : `Free ${byteSize(report.freed_bytes)}`}
            </button>
          </>
        )
      }
    >
      {!isDone && (
        <label class="check">
          <input type="checkbox" checked={alsoYoung} onChange={(event) => setAlsoYoung(event.currentTarget.checked)} />
          <span>Also what is younger than an hour</span>
        </label>
      )}
      {error !== undefined && <Failure error={error} />}
      {report === undefined ? busy && <Loading what="what would go" /> : <Report report={report} />}
    </Dialog>
  );
}

function Report({ report }: { readonly report: GarbageReport }): JSX.Element {
  const { images, snapshots, blobs, layers, disks, leftovers, young } = report;
  const parts = [
    { label: "Images", count: images.length },
    { label: "Snapshots", count: snapshots.length },
    { label: "Blobs", ...blobs },
    { label: "Layer archives", ...layers },
    { label: "Disks", ...disks },
    { label: "Leftovers", ...leftovers },
  ];
  return (
    <>
      <table class="report">
        <caption>
          {report.dry_run ? "This would go; nothing has gone yet." : `${byteSize(report.freed_bytes)} are free again.`}
        </caption>
        <tbody>
          {parts.map((part) => (
            <tr key={part.label}>
              <th scope="row">{part.label}</th>
              <td class="number">{part.count.toLocaleString("en")}</td>
              <td class="number">{"bytes" in part ? byteSize(part.bytes) : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {young.count > 0 && (
        <p class="hint">
          {count(young.count, "file")} of {byteSize(young.bytes)} {young.count === 1 ? "stays" : "stay"}, being young:
          somebody may be about to need {young.count === 1 ? "it" : "them"}.
        </p>
      )}
    </>
  );
}
