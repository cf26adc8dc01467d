import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ImageView } from "./image/image-view.js";
import { ImagesView } from "./images/images-view.js";
import { Announcer } from "./parts/announcer.js";
import { Mark } from "./parts/icons.js";
import { TokenDialog } from "./parts/token-dialog.js";
import { QueueView } from "./queue/queue-view.js";
import { parseRoute } from "./route.js";
import type { Route } from "./route.js";
import { connection, followImages } from "./state/images.js";
import { forgetToken, session } from "./state/session.js";
import { useStore } from "./state/store.js";
import { UsageView } from "./usage/usage-view.js";

const PLACES = [
  { view: "images", label: "Images" },
  { view: "queue", label: "Queue" },
  { view: "usage", label: "Usage" },
] as const;

export function App(): JSX.Element {
  const { token, demanded, generation } = useStore(session);
  const route = useRoute();
  useEffect(() => {
    const controller = new AbortController();
    void followImages(controller.signal);
    return () => controller.abort();
  }, [generation]);
  const current = route.view === "image" ? "images" : route.view;
  return (
    <>
      <header>
        <div class="frame">
          <a class="brand" href="#/images">
            <Mark />
            <span>Lamella</span>
          </a>
          <nav aria-label="Views">
            {PLACES.map(({ view, label }) => (
              <a key={view} href={`#/${view}`} {...(current === view ? { "aria-current": "page" } : {})}>
                {label}
              </a>
            ))}
          </nav>
          <div class="header-end">
            <Connection />
            {token !== undefined && (
              <button type="button" class="quiet" onClick={forgetToken}>
                Forget token
              </button>
            )}
          </div>
        </div>
      </header>
      <main class="frame">
        <View route={route} />
      </main>
      <Announcer />
      {demanded && <TokenDialog key={generation} />}
    </>
  );
}

function View({ route }: { readonly route: Route }): JSX.Element {
  if (route.view === "images") return <ImagesView />;
  if (route.view === "image") return <ImageView key={location.hash} {...route} />;
  if (route.view === "queue") return <QueueView />;
  if (route.view === "usage") return <UsageView />;
  return (
    <section>
      <h1 tabIndex={-1}>There is no such view</h1>
      <p>
        <a href="#/images">To the images</a>
      </p>
    </section>
  );
}

function Connection(): JSX.Element {
  const { state } = useStore(connection);
  const words = { connecting: "Connecting", live: "Live", lost: "Reconnecting" } as const;
  return (
    <span class={`connection connection-${state}`}>
      <span class="connection-dot" aria-hidden="true" />
      {words[state]}
    </span>
  );
}

/** What the address says; who goes elsewhere by a link finds the focus at its heading. */
function useRoute(): Route {
  const [hash, setHash] = useState(() => location.hash);
  const first = useRef(true);
  useEffect(() => {
    const follow = (): void => setHash(location.hash);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    const heading = document.querySelector("h1");
    document.title = `${heading?.textContent.trim() ?? "Images"} – Lamella`;
    if (!first.current) heading?.focus();
    first.current = false;
  }, [hash]);
  return parseRoute(hash);
}
