import type { JSX } from "preact";
import { useRef } from "preact/hooks";

import { ask } from "../api/request.js";
import type { Image, Queue } from "../api/types.js";
import { count } from "../format/byte-size.js";
import { ImageActions } from "../images/image-actions.js";
import { BuildBar } from "../parts/build-bar.js";
import { ImageName } from "../parts/image-name.js";
import { Empty, Failure, Loading } from "../parts/notes.js";
import { StatusBadge } from "../parts/status-badge.js";
import { imageRoute } from "../route.js";
import { imageList } from "../state/images.js";
import { isUnfinished } from "../state/image-list.js";
import { useStore } from "../state/store.js";
import { useLoad } from "../state/use-load.js";

export function QueueView(): JSX.Element {
  const { images = [] } = useStore(imageList);
  const unfinished = images.filter(({ status }) => isUnfinished(status));
  // the daemon says the order; it is asked again whenever a build comes, begins or ends
  const queue = useQueue(unfinished);
  const value = queue.value;
  return (
    <section>
      <div class="bar">
        <h1 tabIndex={-1}>Queue</h1>
      </div>
      {queue.error !== undefined && <Failure error={queue.error} onRetry={queue.reload} />}
      {value === undefined && queue.error === undefined && <Loading what="the queue" />}
      {value !== undefined && (
        <p class="lead">
          {count(value.active, "build")} under way of {value.limit} at once, {value.pending.toLocaleString("en")}{" "}
          waiting.
        </p>
      )}
      {value !== undefined && value.images.length === 0 && <Empty>Nothing is being built.</Empty>}
      {value !== undefined && value.images.length > 0 && (
        <ol class="queue">
          {value.images.map((image) => (
            <QueueItem key={image.id} image={image} live={unfinished.find(({ id }) => id === image.id)} />
          ))}
        </ol>
      )}
    </section>
  );
}

function useQueue(unfinished: readonly Image[]): ReturnType<typeof useLoad<Queue>> {
  const about = unfinished.map(({ id, status }) => `${id} ${status}`).join();
  const { value, error, reload } = useLoad(async (signal) => ask<Queue>("/queue", { signal }), [about]);
  const last = useRef<Queue | undefined>(undefined);
  last.current = value ?? last.current;
  const kept = last.current;
  return { reload, ...(kept === undefined ? {} : { value: kept }), ...(error === undefined ? {} : { error }) };
}

function QueueItem({ image, live }: { readonly image: Image; readonly live: Image | undefined }): JSX.Element {
  const now = { ...(live ?? image), queue_position: image.queue_position };
  return (
    <li>
      <span class="queue-place">{now.queue_position === 0 ? "now" : now.queue_position}</span>
      <div class="queue-what">
        <a class="name" href={imageRoute(now)}>
          <ImageName name={now.name} />
        </a>
        <p class="facts-line">
          {now.platform} · {now.format}
        </p>
        <BuildBar image={now} />
      </div>
      <StatusBadge status={now.status} />
      <ImageActions image={now} />
    </li>
  );
}
