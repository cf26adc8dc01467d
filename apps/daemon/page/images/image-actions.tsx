import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { imagePath } from "../api/image-path.js";
import { ask, send } from "../api/request.js";
import type { CreateImage, Image } from "../api/types.js";
import { shortName } from "../format/image-name.js";
import { announce } from "../parts/announcer.js";
import { Dialog } from "../parts/dialog.js";
import { Failure } from "../parts/notes.js";
import { dropImage, imageList, putImage } from "../state/images.js";
import { isUnfinished } from "../state/image-list.js";
import { useStore } from "../state/store.js";

export interface ImageActionsProps {
  readonly image: Image;
  readonly onDeleted?: () => void;
}

/** What can be done with an image as it is now. */
export function ImageActions({ image, onDeleted }: ImageActionsProps): JSX.Element {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [deleting, setDeleting] = useState(false);
  const act = async (does: () => Promise<Image>): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      putImage(await does());
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  const name = shortName(image.name);
  const canRetry = image.status === "failed" || image.status === "cancelled";
  return (
    <>
      <div class="actions">
        {isUnfinished(image.status) && (
          <button
            type="button"
            disabled={busy}
            aria-label={`Cancel ${name}`}
            onClick={() => void act(async () => cancel(image))}
          >
            Cancel
          </button>
        )}
        {canRetry && (
          <button
            type="button"
            disabled={busy}
            aria-label={`Retry ${name}`}
            onClick={() => void act(async () => retry(image))}
          >
            Retry
          </button>
        )}
        {!isUnfinished(image.status) && (
          <button
            type="button"
            class="quiet"
            disabled={busy}
            aria-label={`Delete ${name}`}
            onClick={() => setDeleting(true)}
          >
            Delete
          </button>
        )}
      </div>
      {error !== undefined && <Failure error={error} />}
      {deleting && (
        <DeleteDialog
          image={image}
          onClose={() => setDeleting(false)}
          onDeleted={() => {
            setDeleting(false);
            dropImage(image.name);
            announce(`${name} is deleted`);
            onDeleted?.();
          }}
        />
      )}
    </>
  );
}

async function cancel(image: Image): Promise<Image> {
  return ask<Image>(imagePath(image, "/cancel"), { method: "POST" });
}

async function retry({ name, platform, format, options }: Image): Promise<Image> {
  const body: CreateImage = { name, platform, format, options };
  return ask<Image>("/images", { method: "POST", body });
}

interface DeleteDialogProps {
  readonly image: Image;
  readonly onClose: () => void;
  readonly onDeleted: () => void;
}

function DeleteDialog({ image, onClose, onDeleted }: DeleteDialogProps): JSX.Element {
  const { images = [] } = useStore(imageList);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const builds = images.filter(({ name }) => name === image.name);
  const remove = async (): Promise<void> => {
    setBusy(true);
    try {
      await send(`/images/${encodeURIComponent(image.name)}`, { method: "DELETE" });
      onDeleted();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={`Delete ${shortName(image.name)}?`}
      onClose={onClose}
      onSubmit={() => void remove()}
      actions={
        <>
          <button type="button" autofocus onClick={onClose}>
            Keep it
          </button>
          <button type="submit" class="danger" disabled={busy}>
            Delete
          </button>
        </>
      }
    >
      <p>
        The name goes with {builds.length > 1 ? `its ${builds.length} builds` : "its build"}:{" "}
        {(builds.length > 0 ? builds : [image]).map(({ platform, format }) => `${platform} ${format}`).join(", ")}.
        Disks and blobs that nothing else needs are freed by the next garbage collection.
      </p>
      {error !== undefined && <Failure error={error} />}
    </Dialog>
  );
}
