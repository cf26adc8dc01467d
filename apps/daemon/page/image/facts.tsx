import type { ComponentChildren, JSX } from "preact";

import type { Image } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { duration, exactTime, sinceThen } from "../format/moment.js";
import { useNow } from "../state/use-now.js";

export function Facts({ image }: { readonly image: Image }): JSX.Element {
  const nowMs = useNow();
  const options = Object.entries(image.options);
  const took =
    image.started_at === null || image.finished_at === null
      ? undefined
      : duration(Date.parse(image.finished_at) - Date.parse(image.started_at));
  return (
    <dl class="facts">
      <Fact label="Name">{image.name}</Fact>
      <Fact label="Digest">
        <code>{image.digest}</code>
      </Fact>
      {image.manifest_digest !== null && image.manifest_digest !== image.digest && (
        <Fact label="Manifest">
          <code>{image.manifest_digest}</code>
        </Fact>
      )}
      <Fact label="Platform">{image.platform}</Fact>
      <Fact label="Format">
        {image.format}
        {options.length > 0 && ` (${options.map(([name, value]) => `${name} ${String(value)}`).join(", ")})`}
      </Fact>
      {image.size_bytes !== null && <Fact label="Size">{byteSize(image.size_bytes)}</Fact>}
      <Fact label="Asked for">
        <time dateTime={image.created_at} title={exactTime(image.created_at)}>
          {sinceThen(image.created_at, nowMs)}
        </time>
      </Fact>
      {took !== undefined && <Fact label="Took">{took}</Fact>}
    </dl>
  );
}

/** How containers of the image run. */
export function RunConfig({ image }: { readonly image: Image }): JSX.Element {
  const env = Object.entries(image.env);
  const labels = Object.entries(image.labels);
  return (
    <dl class="facts">
      <Fact label="Entrypoint">
        <Words words={image.entrypoint} />
      </Fact>
      <Fact label="Command">
        <Words words={image.cmd} />
      </Fact>
      <Fact label="Directory">
        <code>{image.working_dir || "/"}</code>
      </Fact>
      <Fact label="User">{image.user || "root"}</Fact>
      {image.stop_signal !== null && <Fact label="Stop signal">{image.stop_signal}</Fact>}
      {image.is_systemd !== null && (
        <Fact label="Boots">{image.is_systemd ? "by itself" : "not by itself: it has no systemd"}</Fact>
      )}
      {env.length > 0 && (
        <Fact label="Environment">
          <Pairs pairs={env} />
        </Fact>
      )}
      {labels.length > 0 && (
        <Fact label="Labels">
          <Pairs pairs={labels} />
        </Fact>
      )}
    </dl>
  );
}

function Fact({ label, children }: { readonly label: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Each word is marked off: a space in one is not one between two. */
function Words({ words }: { readonly words: readonly string[] | null }): JSX.Element {
  if (words === null || words.length === 0) return <span class="nothing">none</span>;
  return (
    <>
      {words.map((word, index) => (
        <code key={index} class="word">
          {word}
        </code>
      ))}
    </>
  );
}

function Pairs({ pairs }: { readonly pairs: readonly (readonly [string, string])[] }): JSX.Element {
  return (
    <ul class="pairs">
      {pairs.map(([name, value]) => (
        <li key={name}>
          <code>
            <span class="pair-name">{name}</span>={value}
          </code>
        </li>
      ))}
    </ul>
  );
}
