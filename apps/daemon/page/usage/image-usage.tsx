import { Fragment } from "preact";
import type { JSX } from "preact";

import type { Usage } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { shortDigest } from "../format/image-name.js";
import { ImageName } from "../parts/image-name.js";

const MOST = 100;

/** What each image takes, the one that frees most first. */
export function ImageUsage({ images }: { readonly images: Usage["images"] }): JSX.Element {
  const sorted = [...images].sort((a, b) => b.unique_bytes - a.unique_bytes || b.size_bytes - a.size_bytes);
  const most = Math.max(1, ...images.map((image) => image.size_bytes));
  const width = (bytes: number): string => `${((100 * bytes) / most).toFixed(2)}%`;
  return (
    <table class="image-usage">
      <thead>
        <tr>
          <th scope="col">Image</th>
          <th scope="col" class="wide-only">
            <span class="unseen">Picture</span>
          </th>
          <th scope="col" class="number">
            Size
          </th>
          <th scope="col" class="wide-only number">
            Shared
          </th>
          <th scope="col" class="number">
            Unique
          </th>
        </tr>
      </thead>
      <tbody>
        {sorted
          .slice(0, MOST)
          .map(({ manifest_digest: digest, names, size_bytes: size, shared_bytes: shared, unique_bytes: unique }) => (
            <tr key={digest}>
              <td class="breaks" title={digest}>
                {names.length === 0 ? (
                  <span class="nothing">no name, {shortDigest(digest)}</span>
                ) : (
                  names.map((name, index) => (
                    <Fragment key={name}>
                      {index > 0 && ", "}
                      <ImageName name={name} />
                    </Fragment>
                  ))
                )}
              </td>
              <td class="wide-only cell-picture" aria-hidden="true">
                <svg width="100%" height="12">
                  <rect class="share-shared" width={width(shared)} height="12" />
                  <rect class="share-unique" x={width(shared)} width={width(unique)} height="12" />
                  {shared > 0 && unique > 0 && <rect class="usage-gap" x={width(shared)} width="1.5" height="12" />}
                </svg>
              </td>
              <td class="number">{byteSize(size)}</td>
              <td class="wide-only number">{byteSize(shared)}</td>
              <td class="number">{byteSize(unique)}</td>
            </tr>
          ))}
      </tbody>
      {sorted.length > MOST && (
        <tfoot>
          <tr>
            <td colSpan={5}>and {(sorted.length - MOST).toLocaleString("en")} more</td>
          </tr>
        </tfoot>
      )}
    </table>
  );
}
