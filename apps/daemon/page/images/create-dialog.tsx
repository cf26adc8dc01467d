import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { ask } from "../api/request.js";
import type { CreateImage, Format, Image } from "../api/types.js";
import { Dialog } from "../parts/dialog.js";
import { Failure } from "../parts/notes.js";
import { putImage } from "../state/images.js";

const FORMATS: Readonly<Record<Format, string>> = {
  ext4: "ext4: can be written to",
  erofs: "EROFS: read-only, compact",
  "erofs-layers": "EROFS, one disk a layer",
  cpio: "cpio: an initramfs",
  tar: "tar: the merged tree",
};

const PLATFORMS = [
  "linux/amd64",
  "linux/arm64",
  "linux/arm/v7",
  "linux/386",
  "linux/ppc64le",
  "linux/riscv64",
  "linux/s390x",
];

/** Asks for an image by name. */
export function CreateDialog({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [name, setName] = useState("");
  const [platform, setPlatform] = useState("");
  const [format, setFormat] = useState<Format | "">("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const create = async (): Promise<void> => {
    const body: CreateImage = {
      name: name.trim(),
      ...(platform.trim() === "" ? {} : { platform: platform.trim() }),
      ...(format === "" ? {} : { format }),
    };
    setBusy(true);
    try {
      putImage(await ask<Image>("/images", { method: "POST", body }));
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="New image"
      onClose={onClose}
      onSubmit={() => void create()}
      actions={
        <>
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {busy ? "Asking …" : "Create"}
          </button>
        </>
      }
    >
      <label class="field">
        <span>Name</span>
        <input
          required
          autofocus
          maxLength={512}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          placeholder="alpine:3.20"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <div class="fields">
        <label class="field">
          <span>Platform</span>
          <input
            list="platforms"
            pattern="[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?"
            title="os/architecture, as linux/amd64"
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            placeholder="the daemon’s own"
            value={platform}
            onInput={(event) => setPlatform(event.currentTarget.value)}
          />
          <datalist id="platforms">
            {PLATFORMS.map((value) => (
              <option key={value} value={value} />
            ))}
          </datalist>
        </label>
        <label class="field">
          <span>Format</span>
          <select value={format} onChange={(event) => setFormat(event.currentTarget.value as Format | "")}>
            <option value="">the daemon’s own</option>
            {Object.entries(FORMATS).map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        </label>
      </div>
      {error !== undefined && <Failure error={error} />}
    </Dialog>
  );
}
