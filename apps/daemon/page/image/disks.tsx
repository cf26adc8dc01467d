import type { JSX } from "preact";

import { apiUrl } from "../api/request.js";
import type { Disk, Image } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { curlCommand } from "../format/curl-command.js";
import { diskFileName } from "../format/image-name.js";
import { CopyLine } from "../parts/copy-line.js";
import { session } from "../state/session.js";
import { useStore } from "../state/store.js";

/** The disks of an image and how to get them. */
export function Disks({ image }: { readonly image: Image }): JSX.Element {
  return (
    <ul class="disks">
      {image.disks.map((disk, index) => (
        <DiskItem key={disk.key} disk={disk} file={diskFileName(image, index, image.disks.length)} />
      ))}
    </ul>
  );
}

interface DiskItemProps {
  readonly disk: Disk;
  /** What it is called where it is kept. */
  readonly file: string;
}

/** A link cannot carry the token, so there is one only where none is needed. */
function DiskItem({ disk, file }: DiskItemProps): JSX.Element {
  const { token } = useStore(session);
  const url = apiUrl(`/disks/${encodeURIComponent(disk.key)}`);
  return (
    <li>
      <p class="disk-line">
        <code class="breaks">{disk.key}</code>
        <span>
          {disk.format}, {byteSize(disk.size_bytes)}
        </span>
        {token === undefined && (
          <a href={url} download={file}>
            Download
          </a>
        )}
      </p>
      <CopyLine text={curlCommand(url, file, token !== undefined)} label={`the command that downloads ${file}`} />
    </li>
  );
}
