import type { JSX } from "preact";

import { byteSize } from "../format/byte-size.js";
import { shortDigest } from "../format/image-name.js";
import { imageList } from "../state/images.js";
import { useStore } from "../state/store.js";

const STATES = { waiting: "waiting", pulling: "pulling", done: "here" } as const;

/** The layers of an image that is pulled, each with how far it is. */
export function LayerBars({ id }: { readonly id: number }): JSX.Element | null {
  const { progress } = useStore(imageList);
  const layers = [...(progress.get(id)?.layers.values() ?? [])];
  if (layers.length === 0) return null;
  return (
    <ul class="layer-bars">
      {layers.map(({ layer, state, cached, done_bytes: done, total_bytes: total }) => (
        <li key={layer}>
          <code>{shortDigest(layer)}</code>
          <progress
            aria-label={`Layer ${shortDigest(layer)}`}
            value={state === "done" ? 1 : total === 0 ? 0 : done / total}
          />
          <span class="number">
            {state === "pulling"
              ? `${byteSize(done)} of ${byteSize(total)}`
              : `${byteSize(total)}, ${cached ? "kept from before" : STATES[state]}`}
          </span>
        </li>
      ))}
    </ul>
  );
}
