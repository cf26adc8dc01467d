import type { Build, BuildEvent, LayerProgress } from "@lamella/image-store";
import type { z } from "@hono/zod-openapi";

import type { Progress } from "./schemas.js";

type ProgressDocument = z.infer<typeof Progress>;

interface Known {
  readonly layers: Map<string, LayerProgress>;
  /** Once it is converting. */
  disk?: { readonly doneBytes: number; readonly totalBytes: number };
}

/** How far each build is that is under way, by what was told of it. */
export class BuildProgress {
  readonly #builds = new Map<number, Known>();

  take(event: BuildEvent): void {
    if (event.type === "status") {
      this.#changed(event.build);
      return;
    }
    // what comes late, of a build that has ended, is not kept
    const known = this.#builds.get(event.id);
    if (event.type === "layer") known?.layers.set(event.progress.layer, event.progress);
    else if (known !== undefined) known.disk = event;
  }

  of(buildId: number): ProgressDocument | undefined {
    const known = this.#builds.get(buildId);
    if (known === undefined) return undefined;
    const layers = [...known.layers.values()];
    const sum = (of: "doneBytes" | "totalBytes"): number => layers.reduce((bytes, layer) => bytes + layer[of], 0);
    return {
      done_bytes: known.disk?.doneBytes ?? sum("doneBytes"),
      total_bytes: known.disk?.totalBytes ?? sum("totalBytes"),
      layers_done: layers.filter(({ state }) => state === "done").length,
      layers_total: layers.length,
    };
  }

  #changed({ id, status }: Build): void {
    if (status === "pulling") this.#builds.set(id, { layers: new Map() });
    else if (status === "converting") {
      const layers = this.#builds.get(id)?.layers ?? new Map<string, LayerProgress>();
      this.#builds.set(id, { layers, disk: { doneBytes: 0, totalBytes: 0 } });
    } else this.#builds.delete(id);
  }
}
