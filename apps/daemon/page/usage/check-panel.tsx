import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ask } from "../api/request.js";
import type { CheckReport } from "../api/types.js";
import { count } from "../format/byte-size.js";
import { announce } from "../parts/announcer.js";
import { Failure } from "../parts/notes.js";

const NO_REPAIR = "nothing can be done here";

/** Reads everything that the store has and says what is wrong; repairs it if it is told to. */
export function CheckPanel(): JSX.Element {
  const [report, setReport] = useState<CheckReport & { readonly repaired: boolean }>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const running = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => running.current?.abort(), []);

  const run = async (repair: boolean): Promise<void> => {
    const { signal } = (running.current = new AbortController());
    setBusy(true);
    setError(undefined);
    try {
      const found = await ask<CheckReport>("/check", { method: "POST", body: { repair }, signal });
      setReport({ ...found, repaired: repair });
      announce(found.findings.length === 0 ? "The store is sound" : count(found.findings.length, "finding"));
    } catch (failure) {
      if (!signal.aborted) setError(failure);
    }
    setBusy(false);
  };
  const findings = report?.findings ?? [];
  return (
    <section>
      <h2>Check</h2>
      <p class="lead">Every byte that is kept is read and compared with its digest. A large store takes its time.</p>
      <div class="actions">
        <button type="button" disabled={busy} onClick={() => void run(false)}>
          {busy ? "Checking …" : "Check the store"}
        </button>
        {busy && (
          <button type="button" onClick={() => running.current?.abort()}>
            Stop
          </button>
        )}
        {!busy && findings.length > 0 && report?.repaired === false && (
          <button type="button" onClick={() => void run(true)}>
            Repair
          </button>
        )}
      </div>
      {error !== undefined && <Failure error={error} />}
      {report !== undefined && findings.length === 0 && <p class="good">The store is sound.</p>}
      {findings.length > 0 && (
        <table class="findings">
          <caption>
            {count(findings.length + (report?.omitted ?? 0), "finding")}
            {(report?.omitted ?? 0) > 0 && `, of which ${findings.length} are shown`}
          </caption>
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Problem</th>
              <th scope="col" class="wide-only">
                {report?.repaired === true ? "Repair" : "Would be repaired by"}
              </th>
            </tr>
          </thead>
          <tbody>
            {findings.map(({ kind, subject, problem, repair }, index) => (
              <tr key={index}>
                <td class="breaks">
                  {kind} <code>{subject}</code>
                </td>
                <td class="breaks">
                  {problem}
                  <p class="narrow-only hint">{repair ?? NO_REPAIR}</p>
                </td>
                <td class="wide-only breaks">{repair ?? NO_REPAIR}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
