import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { announce } from "./announcer.js";

/** A line that is made to be copied. */
export function CopyLine({ text, label }: { readonly text: string; readonly label: string }): JSX.Element {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    announce(`${label} copied`);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div class="copy-line">
      <code>{text}</code>
      {/* there is a clipboard only where the page came in a way that the browser trusts */}
      {navigator.clipboard !== undefined && (
        <button type="button" aria-label={`Copy: ${label}`} onClick={() => void copy()}>
          {copied ? "Copied" : "Copy"}
        </button>
      )}
    </div>
  );
}
