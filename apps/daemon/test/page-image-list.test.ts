import { describe, expect, it } from "vitest";

import type { Image } from "../page/api/types.js";
import { extentOf } from "../page/state/build-progress.js";
import { afterEvent, EMPTY_LIST } from "../page/state/image-list.js";
import type { ImageList } from "../page/state/image-list.js";

function image(id: number, rest: Partial<Image> = {}): Image {
  return {
    id,
    name: `registry.test/app:${id}`,
    digest: `sha256:${"0".repeat(64)}`,
    manifest_digest: null,
    platform: "linux/amd64",
    format: "ext4",
    options: {},
    status: "pending",
    queue_position: null,
    progress: null,
    error: null,
    error_code: null,
    size_bytes: null,
    entrypoint: null,
    cmd: null,
    env: {},
    working_dir: null,
    user: null,
    labels: {},
    stop_signal: null,
    is_systemd: null,
    disks: [],
    created_at: new Date(1000 * id).toISOString(),
    started_at: null,
    finished_at: null,
    ...rest,
  };
}

const listOf = (...images: Image[]): ImageList => ({ images, progress: new Map() });
const event = (type: string, data: object): { type: string; data: string; id: string } => ({
  type,
  data: JSON.stringify(data),
  id: "1",
});
const layer = (id: number, digest: string, done: number, total: number): ReturnType<typeof event> => {
  const state = done === total ? "done" : "pulling";
  return event("layer", { id, name: "n", layer: digest, state, cached: false, done_bytes: done, total_bytes: total });
};

function after(list: ImageList, ...events: ReturnType<typeof event>[]): ImageList {
  return events.reduce((now, each) => afterEvent(now, each).list, list);
}

describe("the list of images", () => {
  it("puts a new image first, and one that is known where it is", () => {
    const list = after(
      listOf(image(2), image(1)),
      event("status", image(1, { status: "pulling" })),
      event("status", image(3)),
    );
    expect(list.images?.map(({ id, status }) => `${id} ${status}`)).toEqual(["3 pending", "2 pending", "1 pulling"]);
  });

  it("moves an image that is asked for again", () => {
    const again = image(1, { created_at: new Date(9000).toISOString() });
    expect(after(listOf(image(2), image(1)), event("status", again)).images?.map(({ id }) => id)).toEqual([1, 2]);
  });

  it("does not bring back what was deleted, and asks for the list instead", () => {
    const gone = afterEvent(listOf(image(1)), event("status", image(2, { status: "cancelled" })));
    expect(gone.list.images?.map(({ id }) => id)).toEqual([1]);
    expect(gone.outdated).toBe(true);
    expect(afterEvent(listOf(image(1)), event("status", image(1, { status: "ready" }))).outdated).toBe(false);
  });

  it("adds up what it hears of layers, and goes by the disk then", () => {
    const pulling = image(1, { status: "pulling" });
    let list = after(listOf(pulling), layer(1, "a", 10, 40), layer(1, "b", 60, 60), layer(1, "a", 20, 40));
    const extent = (): unknown => extentOf(list.images?.[0] ?? pulling, list.progress.get(1));
    expect(extent()).toEqual({ doneBytes: 80, totalBytes: 100, layersDone: 1, layersTotal: 2 });
    list = after(list, event("status", image(1, { status: "converting" })));
    expect(extent()).toBeUndefined();
    list = after(list, event("disk", { id: 1, name: "n", done_bytes: 5, total_bytes: 10 }));
    expect(extent()).toEqual({ doneBytes: 5, totalBytes: 10 });
  });

  it("never goes behind what the daemon said at first", () => {
    const progress = { done_bytes: 50, total_bytes: 100, layers_done: 3, layers_total: 4 };
    const list = after(listOf(image(1, { status: "pulling", progress })), layer(1, "d", 10, 30));
    const extent = extentOf(image(1, { status: "pulling", progress }), list.progress.get(1));
    expect(extent).toEqual({ doneBytes: 50, totalBytes: 100, layersDone: 3, layersTotal: 4 });
  });

  it("forgets what it heard of an attempt when the next one begins, or it has ended", () => {
    for (const status of ["pending", "ready", "failed", "cancelled"] as const) {
      const list = after(
        listOf(image(1, { status: "pulling" })),
        layer(1, "a", 1, 2),
        event("status", image(1, { status })),
      );
      expect(list.progress.size).toBe(0);
    }
  });

  it("takes no event before the list, nor one that it does not know", () => {
    expect(after(EMPTY_LIST, event("status", image(1)))).toBe(EMPTY_LIST);
    const list = listOf(image(1));
    expect(after(list, event("weather", {}))).toBe(list);
  });
});
