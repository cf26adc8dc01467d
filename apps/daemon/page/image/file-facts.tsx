import type { JSX } from "preact";

import { imagePath } from "../api/image-path.js";
import { apiUrl } from "../api/request.js";
import type { FileEntry, ImageRef } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { fileMode } from "../format/file-mode.js";
import { exactTime } from "../format/moment.js";
import { session } from "../state/session.js";
import { useStore } from "../state/store.js";

export interface FileFactsProps {
  readonly image: ImageRef;
  readonly layer: number | undefined;
  readonly entry: FileEntry;
}

/** All about the entry that the tree stands on. */
export function FileFacts({ image, layer, entry }: FileFactsProps): JSX.Element {
  const { token } = useStore(session);
  const isThere = entry.kind === "file" && entry.change !== "removed";
  return (
    <dl class="file-facts">
      <div>
        <dt>Name</dt>
        <dd class="breaks">{entry.name}</dd>
      </div>
      <div>
        <dt>Kind</dt>
        <dd>{entry.change === "unchanged" ? entry.kind : `${entry.kind}, ${entry.change}`}</dd>
      </div>
      <div>
        <dt>Mode</dt>
        <dd>
          <code>{fileMode(entry)}</code>
        </dd>
      </div>
      <div>
        <dt>Owner</dt>
        <dd>
          {entry.uid}:{entry.gid}
        </dd>
      </div>
      <div>
        <dt>Size</dt>
        <dd>{byteSize(entry.size_bytes)}</dd>
      </div>
      <div>
        <dt>Modified</dt>
        <dd>{exactTime(entry.mtime)}</dd>
      </div>
      <div>
        <dt>Layer</dt>
        <dd>{entry.layer}</dd>
      </div>
      {entry.link_target !== null && (
        <div>
          <dt>Target</dt>
          <dd class="breaks">{entry.link_target}</dd>
        </div>
      )}
      {/* a link cannot carry the token */}
      {isThere && token === undefined && (
        <div>
          <dt class="unseen">Content</dt>
          <dd>
            <a href={apiUrl(imagePath(image, "/file", { path: entry.path, layer }))} download="">
              Download
            </a>
          </dd>
        </div>
      )}
    </dl>
  );
}
