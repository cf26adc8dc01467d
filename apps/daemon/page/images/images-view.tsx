import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import type { Image, Status } from "../api/types.js";
import { count } from "../format/byte-size.js";
import { Empty, Failure, Loading } from "../parts/notes.js";
import { connection, imageList, refreshImages } from "../state/images.js";
import { useStore } from "../state/store.js";
import { useNow } from "../state/use-now.js";
import { CreateDialog } from "./create-dialog.js";
import { ImageRow } from "./image-row.js";

/** What a browser draws without a pause. */
const STEP = 200;
const STATUSES: readonly Status[] = ["pending", "pulling", "converting", "ready", "failed", "cancelled"];

export function ImagesView(): JSX.Element {
  const { images } = useStore(imageList);
  const { error } = useStore(connection);
  const [creating, setCreating] = useState(false);
  const [wanted, setWanted] = useState("");
  const [status, setStatus] = useState<Status | "">("");
  const [most, setMost] = useState(STEP);
  const heading = useRef<HTMLHeadingElement>(null);
  const nowMs = useNow();
  const found = (images ?? []).filter((image) => matches(image, wanted, status));
  const create = (): void => setCreating(true);
  return (
    <section>
      <div class="bar">
        <h1 ref={heading} tabIndex={-1}>
          Images{" "}
          {images !== undefined && images.length > 0 && <span class="count">{images.length.toLocaleString("en")}</span>}
        </h1>
        <div class="bar-fields">
          {images !== undefined && images.length > 0 && (
            <>
              <input
                type="search"
                aria-label="Find by name or digest"
                placeholder="Find"
                value={wanted}
                onInput={(event) => setWanted(event.currentTarget.value)}
              />
              <select
                aria-label="Status"
                value={status}
                onChange={(event) => setStatus(event.currentTarget.value as Status | "")}
              >
                <option value="">any status</option>
                {STATUSES.map((each) => (
                  <option key={each}>{each}</option>
                ))}
              </select>
            </>
          )}
          <button type="button" class="primary" onClick={create}>
            New image
          </button>
        </div>
      </div>
      {images === undefined &&
        (error === undefined ? (
          <Loading what="images" />
        ) : (
          <Failure error={error} onRetry={() => void refreshImages()} />
        ))}
      {images?.length === 0 && (
        <Empty>
          <p>There are no images yet.</p>
          <p>Name one, and its disk is made; or push one to this daemon, which is a registry too.</p>
        </Empty>
      )}
      {images !== undefined && images.length > 0 && found.length === 0 && <Empty>No image matches.</Empty>}
      {found.length > 0 && (
        <table class="images">
          <thead>
            <tr>
              <th scope="col">
                <span class="wide-text">Status</span>
              </th>
              <th scope="col">Name</th>
              <th scope="col" class="wide-only">
                Platform
              </th>
              <th scope="col" class="wide-only">
                Format
              </th>
              <th scope="col" class="wide-only number">
                Size
              </th>
              <th scope="col" class="wide-only">
                Asked for
              </th>
              <th scope="col">
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, most).map((image) => (
              <ImageRow key={image.id} image={image} nowMs={nowMs} onDeleted={() => heading.current?.focus()} />
            ))}
          </tbody>
        </table>
      )}
      {found.length > most && (
        <button type="button" class="more" onClick={() => setMost(most + STEP)}>
          Show more: {count(found.length - most, "image")} left
        </button>
      )}
      {creating && <CreateDialog onClose={() => setCreating(false)} />}
    </section>
  );
}

function matches(image: Image, wanted: string, status: Status | ""): boolean {
  if (status !== "" && image.status !== status) return false;
  const text = wanted.trim().toLowerCase();
  if (text === "") return true;
  return [image.name, image.digest, image.manifest_digest ?? ""].some((value) => value.toLowerCase().includes(text));
}
