import type { JSX } from "preact";

import type { Usage } from "../api/types.js";
import { byteSize, percent } from "../format/byte-size.js";
import { sharesOf, spansOf, totalOf } from "./usage-shares.js";

const HEIGHT = 44;
/** Between two shares, so that they are told apart without their colours. */
const GAP = 1.5;
const FREED_TOP = HEIGHT + 7;
const FREED_HEIGHT = 9;

/** What the store takes as one bar, with a second one below for what garbage collection would free; the same in numbers below. */
export function UsagePicture({ usage }: { readonly usage: Usage }): JSX.Element {
  const shares = sharesOf(usage);
  const total = totalOf(shares);
  const freed = total === 0 ? 0 : Math.min(1, usage.collectable_bytes / total);
  return (
    <figure class="usage-picture">
      <svg
        class="usage-bar"
        width="100%"
        height={FREED_TOP + FREED_HEIGHT}
        role="img"
        aria-label="What the store takes, in parts; the numbers are in the table below"
      >
        <defs>
          <pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect class="stripe-ground" width="6" height="6" />
            <rect class="stripe" width="3" height="6" />
          </pattern>
        </defs>
        <rect class="usage-none" width="100%" height={HEIGHT} rx="3" />
        {spansOf(shares).map(
          ({ kind, start, length }) =>
            length > 0 && <rect key={kind} class={`share-${kind}`} x={at(start)} width={at(length)} height={HEIGHT} />,
        )}
        {spansOf(shares).map(
          ({ kind, start, bytes }) =>
            start > 0 && bytes > 0 && <rect key={kind} class="usage-gap" x={at(start)} width={GAP} height={HEIGHT} />,
        )}
        {freed > 0 && <rect class="share-freed" y={FREED_TOP} width={at(freed)} height={FREED_HEIGHT} rx="2" />}
      </svg>
      <table class="legend">
        <thead class="unseen">
          <tr>
            <th scope="col">Part</th>
            <th scope="col">What it is</th>
            <th scope="col">Size</th>
            <th scope="col">Of all</th>
          </tr>
        </thead>
        <tbody>
          {shares.map(({ kind, label, hint, bytes }) => (
            <LegendRow key={kind} kind={kind} label={label} hint={hint} bytes={bytes} of={total} />
          ))}
          <tr class="legend-total">
            <td>Together</td>
            <td class="hint" />
            <td class="number">{byteSize(total)}</td>
            <td class="number" />
          </tr>
          <LegendRow
            kind="freed"
            label="Garbage"
            hint="what a collection would free now"
            bytes={usage.collectable_bytes}
            of={total}
          />
          <tr>
            <td>Free</td>
            <td class="hint">left on the file system</td>
            <td class="number">{byteSize(usage.free_bytes)}</td>
            <td class="number" />
          </tr>
        </tbody>
      </table>
    </figure>
  );
}

interface LegendRowProps {
  readonly kind: string;
  readonly label: string;
  readonly hint: string;
  readonly bytes: number;
  readonly of: number;
}

function LegendRow({ kind, label, hint, bytes, of }: LegendRowProps): JSX.Element {
  return (
    <tr>
      <td>
        <svg class="swatch" width="12" height="12" aria-hidden="true">
          <rect class={`share-${kind}`} width="12" height="12" rx="2" />
        </svg>
        {label}
      </td>
      <td class="hint">{hint}</td>
      <td class="number">{byteSize(bytes)}</td>
      <td class="number">{of === 0 ? "" : percent(bytes / of)}</td>
    </tr>
  );
}

function at(part: number): string {
  return `${(100 * part).toFixed(3)}%`;
}
