import type { JSX } from "preact";

import type { Status } from "../api/types.js";
import { StatusIcon } from "./icons.js";

export function StatusBadge({ status }: { readonly status: Status }): JSX.Element {
  return (
    <span class={`status status-${status}`}>
      <StatusIcon status={status} />
      <span class="status-text">{status}</span>
    </span>
  );
}
