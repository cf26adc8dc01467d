import type { JSX } from "preact";

import type { Image } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { extentOf } from "../state/build-progress.js";
import { imageList } from "../state/images.js";
import { useStore } from "../state/store.js";

/** How far a build is, as a bar and in words; nothing for one that has ended. */
export function BuildBar({ image }: { readonly image: Image }): JSX.Element | null {
  const { progress } = useStore(imageList);
  if (image.status === "pending") return <p class="build-words">{waiting(image.queue_position)}</p>;
  if (image.status !== "pulling" && image.status !== "converting") return null;
  const extent = extentOf(image, progress.get(image.id));
  const words = image.status === "pulling" ? "Pulling" : "Writing the disk";
  if (extent === undefined) return <Bar label={words} words={`${words} …`} />;
  const { doneBytes, totalBytes, layersDone, layersTotal } = extent;
  const layers = layersTotal === undefined ? "" : ` · ${layersDone} of ${layersTotal} layers`;
  return (
    <Bar
      label={words}
      words={`${words}: ${byteSize(doneBytes)} of ${byteSize(totalBytes)}${layers}`}
      done={doneBytes / totalBytes}
    />
  );
}

interface BarProps {
  readonly label: string;
  readonly words: string;
  /** From 0 to 1; unknown without. */
  readonly done?: number;
}

function Bar({ label, words, done }: BarProps): JSX.Element {
  return (
    <div class="build">
      {done === undefined ? <progress aria-label={label} /> : <progress aria-label={label} value={done} />}
      <p class="build-words">{words}</p>
    </div>
  );
}

function waiting(position: number | null): string {
  if (position === null || position === 0) return "Waiting";
  return position === 1 ? "Waiting: next in the queue" : `Waiting: number ${position} in the queue`;
}
