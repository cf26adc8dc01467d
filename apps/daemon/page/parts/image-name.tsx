import { Fragment } from "preact";
import type { JSX } from "preact";

import { shortName } from "../format/image-name.js";

/** An image's name, which a narrow window breaks where its parts end. */
export function ImageName({ name }: { readonly name: string }): JSX.Element {
  const parts = shortName(name).split(/(?<=[/:@])/);
  return (
    <>
      {parts.map((part, index) => (
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </>
  );
}
