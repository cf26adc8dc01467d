import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { ask } from "../api/request.js";
import type { Usage } from "../api/types.js";
import { Empty, Failure, Loading } from "../parts/notes.js";
import { useLoad } from "../state/use-load.js";
import { CheckPanel } from "./check-panel.js";
import { GarbageDialog } from "./garbage-dialog.js";
import { ImageUsage } from "./image-usage.js";
import { UsagePicture } from "./usage-picture.js";

export function UsageView(): JSX.Element {
  const { value: usage, error, reload } = useLoad(async (signal) => ask<Usage>("/usage", { signal }), []);
  const [collecting, setCollecting] = useState(false);
  return (
    <section>
      <div class="bar">
        <h1 tabIndex={-1}>Disk usage</h1>
        <div class="bar-fields">
          <button type="button" class="primary" onClick={() => setCollecting(true)}>
            Collect garbage …
          </button>
        </div>
      </div>
      {error !== undefined && <Failure error={error} onRetry={reload} />}
      {usage === undefined && error === undefined && <Loading what="what the store takes" />}
      {usage !== undefined && <UsagePicture usage={usage} />}
      {usage !== undefined && (
        <section>
          <h2>Images</h2>
          {usage.images.length === 0 ? <Empty>The store has no images.</Empty> : <ImageUsage images={usage.images} />}
        </section>
      )}
      <CheckPanel />
      {collecting && <GarbageDialog onClose={() => setCollecting(false)} onFreed={reload} />}
    </section>
  );
}
