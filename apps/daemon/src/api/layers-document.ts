import type { FileTotal } from "@lamella/layer-format";
import type { z } from "@hono/zod-openapi";

import type { OpenImage } from "../open-images.js";
import type { Layers } from "./schemas.js";

export function layersDocument({ image, history }: OpenImage): z.infer<typeof Layers> {
  const steps = image.config.history.filter(({ emptyLayer }) => emptyLayer !== true);
  const layers = image.layers.map(({ descriptor, diffID }, index) => {
    const { added, changed, removed, wastedBytes } = history.layers[index]!;
    return {
      index,
      digest: descriptor.digest,
      diff_id: diffID,
      media_type: descriptor.mediaType,
      size_bytes: descriptor.size,
      created_by: steps[index]?.createdBy ?? null,
      added: totalDocument(added),
      changed: totalDocument(changed),
      removed: totalDocument(removed),
      wasted_bytes: wastedBytes,
    };
  });
  const contentBytes = layers.reduce((sum, { added, changed }) => sum + added.bytes + changed.bytes, 0);
  const wastedBytes = layers.reduce((sum, { wasted_bytes }) => sum + wasted_bytes, 0);
  const efficiency = contentBytes === 0 ? 1 : (contentBytes - wastedBytes) / contentBytes;
  return { layers, content_bytes: contentBytes, wasted_bytes: wastedBytes, efficiency };
}

function totalDocument({ files, bytes }: FileTotal): { files: number; bytes: number } {
  return { files, bytes };
}
