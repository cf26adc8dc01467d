import type { JSX } from "preact";

import type { Image } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { exactTime, sinceThen } from "../format/moment.js";
import { BuildBar } from "../parts/build-bar.js";
import { ImageName } from "../parts/image-name.js";
import { StatusBadge } from "../parts/status-badge.js";
import { imageRoute } from "../route.js";
import { adviceFor } from "./advice.js";
import { ImageActions } from "./image-actions.js";

export interface ImageRowProps {
  readonly image: Image;
  readonly nowMs: number;
  readonly onDeleted: () => void;
}

export function ImageRow({ image, nowMs, onDeleted }: ImageRowProps): JSX.Element {
  const size = image.size_bytes === null ? "" : byteSize(image.size_bytes);
  const asked = sinceThen(image.created_at, nowMs);
  return (
    <tr>
      <td class="cell-status">
        <StatusBadge status={image.status} />
      </td>
      <td class="cell-name">
        <a class="name" href={imageRoute(image)}>
          <ImageName name={image.name} />
        </a>
        <p class="narrow-only facts-line">
          {[image.platform, image.format, size, asked].filter(Boolean).map(unbroken).join(" · ")}
        </p>
        <BuildBar image={image} />
        {image.error !== null && (
          <div class="row-error">
            <p>{image.error}</p>
            <p>{adviceFor(image.error_code)}</p>
          </div>
        )}
      </td>
      <td class="wide-only">{image.platform}</td>
      <td class="wide-only">{image.format}</td>
      <td class="wide-only number">{size}</td>
      <td class="wide-only">
        <time dateTime={image.created_at} title={exactTime(image.created_at)}>
          {asked}
        </time>
      </td>
      <td class="cell-actions">
        <ImageActions image={image} onDeleted={onDeleted} />
      </td>
    </tr>
  );
}

/** A number stays beside its unit. */
function unbroken(text: string): string {
  return text.replaceAll(" ", "\u00a0");
}
