import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import type { Status } from "../api/types.js";
import { shortName } from "../format/image-name.js";
import { imageList } from "../state/images.js";
import { createStore, useStore } from "../state/store.js";

const said = createStore("");

/** Says something to those who do not see it. */
export function announce(text: string): void {
  said.set(text);
}

/** Where a screen reader hears what changes, statuses of images among it. */
export function Announcer(): JSX.Element {
  const text = useStore(said);
  useEffect(() => {
    let before = statuses();
    return imageList.subscribe(() => {
      const now = statuses();
      const changed = [...now].filter(([id, { status }]) => before.has(id) && before.get(id)?.status !== status);
      before = now;
      if (changed.length > 0)
        announce(changed.map(([, { name, status }]) => `${shortName(name)}: ${status}`).join(", "));
    });
  }, []);
  return (
    <div class="unseen" role="status">
      {text}
    </div>
  );
}

function statuses(): Map<number, { name: string; status: Status }> {
  return new Map((imageList.get().images ?? []).map(({ id, name, status }) => [id, { name, status }]));
}
