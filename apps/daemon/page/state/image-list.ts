import type { ServerEvent } from "../api/event-stream.js";
import type { DiskEvent, Image, LayerEvent, Status } from "../api/types.js";
import { NOTHING_HEARD, withLayer } from "./build-progress.js";
import type { BuildProgress } from "./build-progress.js";

export interface ImageList {
  /** The one that was asked for last first; undefined until the daemon has told. */
  readonly images: readonly Image[] | undefined;
  readonly progress: ReadonlyMap<number, BuildProgress>;
}

export const EMPTY_LIST: ImageList = { images: undefined, progress: new Map() };

export function isUnfinished(status: Status): boolean {
  return status === "pending" || status === "pulling" || status === "converting";
}

/**
 * The list after an event. `outdated` says that the event tells of something that the list cannot know, as the end of an image that it does not
 * have: it was deleted, or it is one of another daemon.
 */
export function afterEvent(list: ImageList, event: ServerEvent): { list: ImageList; outdated: boolean } {
  if (list.images === undefined) return { list, outdated: false };
  if (event.type === "status") return afterStatus(list, JSON.parse(event.data) as Image);
  if (event.type === "layer") {
    const layer = JSON.parse(event.data) as LayerEvent;
    return { list: heard(list, layer.id, (progress) => withLayer(progress, layer)), outdated: false };
  }
  if (event.type === "disk") {
    const disk = JSON.parse(event.data) as DiskEvent;
    return { list: heard(list, disk.id, (progress) => ({ ...progress, disk })), outdated: false };
  }
  return { list, outdated: false };
}

function afterStatus(list: ImageList, image: Image): { list: ImageList; outdated: boolean } {
  const images = list.images ?? [];
  const isKnown = images.some(({ id }) => id === image.id);
  if (!isKnown && !isUnfinished(image.status)) return { list, outdated: true };
  const progress = new Map(list.progress);
  // what was heard of an attempt does not count for the next one
  if (image.status === "pending" || !isUnfinished(image.status)) progress.delete(image.id);
  return { list: { images: withImage(images, image), progress }, outdated: false };
}

/** The images with one that is new, or another than it was, where it belongs. */
export function withImage(images: readonly Image[], image: Image): readonly Image[] {
  const index = images.findIndex(({ id }) => id === image.id);
  if (index >= 0 && images[index]?.created_at === image.created_at) return images.with(index, image);
  return [image, ...images.filter(({ id }) => id !== image.id)].sort(
    (a, b) => Date.parse(b.created_at) - Date.parse(a.created_at) || b.id - a.id,
  );
}

function heard(list: ImageList, id: number, change: (progress: BuildProgress) => BuildProgress): ImageList {
  const progress = new Map(list.progress).set(id, change(list.progress.get(id) ?? NOTHING_HEARD));
  return { ...list, progress };
}
