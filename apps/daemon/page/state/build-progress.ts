import type { DiskEvent, Image, LayerEvent } from "../api/types.js";

/** What the page has heard of a build that is under way. */
export interface BuildProgress {
  readonly layers: ReadonlyMap<string, LayerEvent>;
  readonly disk?: DiskEvent;
}

export const NOTHING_HEARD: BuildProgress = { layers: new Map() };

export function withLayer(progress: BuildProgress, event: LayerEvent): BuildProgress {
  return { ...progress, layers: new Map(progress.layers).set(event.layer, event) };
}

/** How far a build is, in bytes of what it is at. */
export interface Extent {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly layersDone?: number;
  readonly layersTotal?: number;
}

/** By what was told when the image was asked for and what was heard since, whichever is further; undefined where neither says anything. */
export function extentOf(image: Image, heard: BuildProgress = NOTHING_HEARD): Extent | undefined {
  const told = image.progress ?? undefined;
  if (image.status === "converting") {
    const { done_bytes: doneBytes = 0, total_bytes: totalBytes = 0 } = heard.disk ?? told ?? {};
    return totalBytes > 0 ? { doneBytes, totalBytes } : undefined;
  }
  if (image.status !== "pulling") return undefined;
  const layers = [...heard.layers.values()];
  const sum = (of: (layer: LayerEvent) => number): number => layers.reduce((total, layer) => total + of(layer), 0);
  const totalBytes = Math.max(
    told?.total_bytes ?? 0,
    sum((layer) => layer.total_bytes),
  );
  const doneBytes = Math.max(
    told?.done_bytes ?? 0,
    sum((layer) => (layer.state === "done" ? layer.total_bytes : layer.done_bytes)),
  );
  const layersTotal = Math.max(told?.layers_total ?? 0, layers.length);
  const layersDone = Math.max(told?.layers_done ?? 0, layers.filter(({ state }) => state === "done").length);
  return totalBytes > 0
    ? { doneBytes: Math.min(doneBytes, totalBytes), totalBytes, layersDone, layersTotal }
    : undefined;
}
