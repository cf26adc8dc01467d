import { ApiError, ask, send } from "../api/request.js";
import { readEvents } from "../api/event-stream.js";
import type { Image } from "../api/types.js";
import { afterEvent, EMPTY_LIST, withImage } from "./image-list.js";
import type { ImageList } from "./image-list.js";
import { createStore } from "./store.js";

/** How often, at most, the page is drawn for events. */
const DRAW_MS = 80;
/** What other daemons of the store do is in no event of ours. */
const REFRESH_MS = 60_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** The images of the daemon as they are, kept so by its events. */
export const imageList = createStore<ImageList>(EMPTY_LIST);
/** `connecting` at first, `live` while events come, `lost` between; `error` is why. */
export const connection = createStore<{ readonly state: "connecting" | "live" | "lost"; readonly error?: unknown }>({
  state: "connecting",
});

/** Follows the daemon until the signal aborts. */
export async function followImages(signal: AbortSignal): Promise<void> {
  imageList.set(EMPTY_LIST);
  connection.set({ state: "connecting" });
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      await followOnce(signal, () => (pauseMs = FIRST_PAUSE_MS));
      connection.set({ state: "lost" });
    } catch (error) {
      if (signal.aborted) return;
      connection.set({ state: "lost", error });
      // only another token helps, and that starts anew
      if (error instanceof ApiError && error.status === 401) return;
    }
    await pause(pauseMs, signal);
    if (signal.aborted) return;
  }
}

/** One connection. Events are listened for before the list is asked for: nothing is lost between the two. */
async function followOnce(signal: AbortSignal, onLive: () => void): Promise<void> {
  const response = await send("/events", { signal, headers: { Accept: "text/event-stream" } });
  await refreshImages(signal);
  connection.set({ state: "live" });
  onLive();
  const refresh = setInterval(() => void refreshQuietly(signal), REFRESH_MS);
  let list: ImageList | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const draw = (): void => {
    timer = undefined;
    if (list !== undefined && !signal.aborted) imageList.set(list);
    list = undefined;
  };
  try {
    for await (const event of readEvents(chunksOf(response))) {
      const after = afterEvent(list ?? imageList.get(), event);
      list = after.list;
      if (after.outdated) void refreshQuietly(signal);
      timer ??= setTimeout(draw, DRAW_MS);
    }
  } finally {
    clearInterval(refresh);
    clearTimeout(timer);
    draw();
  }
}

/** Asks for the whole list. */
export async function refreshImages(signal?: AbortSignal): Promise<void> {
  const images = await ask<Image[]>("/images", { signal });
  imageList.set({ ...imageList.get(), images });
}

async function refreshQuietly(signal: AbortSignal): Promise<void> {
  // a connection that is lost shows itself by the events, and the next round is not far
  await refreshImages(signal).catch(() => {});
}

/** What an answer to an act said of an image. */
export function putImage(image: Image): void {
  const list = imageList.get();
  if (list.images !== undefined) imageList.set({ ...list, images: withImage(list.images, image) });
}

/** A name is gone, with all that was built for it. */
export function dropImage(name: string): void {
  const list = imageList.get();
  if (list.images !== undefined) imageList.set({ ...list, images: list.images.filter((image) => image.name !== name) });
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
