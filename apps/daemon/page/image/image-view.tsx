import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { imagePath } from "../api/image-path.js";
import { ask } from "../api/request.js";
import type { Image, ImageRef, Layers } from "../api/types.js";
import { adviceFor } from "../images/advice.js";
import { ImageActions } from "../images/image-actions.js";
import { BuildBar } from "../parts/build-bar.js";
import { ImageName } from "../parts/image-name.js";
import { Failure, Loading } from "../parts/notes.js";
import { StatusBadge } from "../parts/status-badge.js";
import { imageList } from "../state/images.js";
import { useStore } from "../state/store.js";
import { useLoad } from "../state/use-load.js";
import { Disks } from "./disks.js";
import { Facts, RunConfig } from "./facts.js";
import { FileTree } from "./file-tree.js";
import { LayerBars } from "./layer-bars.js";
import { LayersTable } from "./layers-table.js";

export function ImageView({ name, platform, format }: ImageRef): JSX.Element {
  const ref = { name, platform, format };
  const { images } = useStore(imageList);
  const asked = useLoad(async (signal) => ask<Image>(imagePath(ref), { signal }), [name, platform, format]);
  // the list is kept up to date, the answer is not
  const image = images?.find(({ id }) => id === asked.value?.id) ?? asked.value;
  return (
    <section>
      <p class="back">
        <a href="#/images">Images</a>
      </p>
      <div class="bar">
        <h1 tabIndex={-1} class="breaks">
          <ImageName name={name} />
        </h1>
        {image !== undefined && (
          <div class="bar-fields">
            <StatusBadge status={image.status} />
            <ImageActions image={image} onDeleted={() => (location.hash = "#/images")} />
          </div>
        )}
      </div>
      {asked.error !== undefined && <Failure error={asked.error} onRetry={asked.reload} />}
      {image === undefined && asked.error === undefined && <Loading what="the image" />}
      {image !== undefined && <ImageDetails key={image.id} image={image} />}
    </section>
  );
}

function ImageDetails({ image }: { readonly image: Image }): JSX.Element {
  const isReady = image.status === "ready";
  return (
    <>
      <BuildBar image={image} />
      {image.status === "pulling" && <LayerBars id={image.id} />}
      {image.error !== null && (
        <div class="failure">
          <p>{image.error}</p>
          <p>{adviceFor(image.error_code)}</p>
        </div>
      )}
      <div class="columns">
        <section>
          <h2>Facts</h2>
          <Facts image={image} />
        </section>
        {isReady && (
          <section>
            <h2>Runs as</h2>
            <RunConfig image={image} />
          </section>
        )}
      </div>
      {isReady && image.disks.length > 0 && (
        <section>
          <h2>{image.disks.length === 1 ? "Disk" : `Disks, base first`}</h2>
          <Disks image={image} />
        </section>
      )}
      {isReady && <Contents image={image} />}
    </>
  );
}

/** What is in it, by its layers. */
function Contents({ image }: { readonly image: Image }): JSX.Element {
  const { name, platform, format } = image;
  const [chosen, setChosen] = useState<number>();
  const layers = useLoad(
    async (signal) => ask<Layers>(imagePath({ name, platform, format }, "/layers"), { signal }),
    [name, platform, format, image.manifest_digest],
  );
  const step = layers.value?.layers.find(({ index }) => index === chosen)?.created_by;
  return (
    <div class="contents">
      <section>
        <h2>Layers</h2>
        {layers.error !== undefined && <Failure error={layers.error} onRetry={layers.reload} />}
        {layers.value === undefined && layers.error === undefined && <Loading what="layers" />}
        {layers.value !== undefined && <LayersTable layers={layers.value} chosen={chosen} onChoose={setChosen} />}
      </section>
      <section>
        <h2>{chosen === undefined ? "Files" : `What layer ${chosen} changes`}</h2>
        {step !== undefined && step !== null && (
          <p class="step-whole">
            <code>{step}</code>
          </p>
        )}
        <FileTree image={image} layer={chosen} />
      </section>
    </div>
  );
}
