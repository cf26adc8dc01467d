import type { z } from "@hono/zod-openapi";

import type * as schemas from "../../src/api/schemas.js";

/** What the API gives and takes, by its own schemas: page and daemon cannot drift apart. */
export type Image = z.infer<typeof schemas.Image>;
/** One build among those of a name. */
export type ImageRef = Pick<Image, "name" | "platform" | "format">;
export type Status = z.infer<typeof schemas.Status>;
export type Disk = z.infer<typeof schemas.Disk>;
export type CreateImage = z.infer<typeof schemas.CreateImage>;
export type Format = z.infer<typeof schemas.Format>;
export type Layer = z.infer<typeof schemas.Layer>;
export type Layers = z.infer<typeof schemas.Layers>;
export type FileEntry = z.infer<typeof schemas.FileEntry>;
export type Files = z.infer<typeof schemas.Files>;
export type Queue = z.infer<typeof schemas.Queue>;
export type Usage = z.infer<typeof schemas.Usage>;
export type GarbageReport = z.infer<typeof schemas.GarbageReport>;
export type CheckReport = z.infer<typeof schemas.CheckReport>;
export type Problem = z.infer<typeof schemas.Problem>;
export type LayerEvent = z.infer<typeof schemas.LayerEvent>;
export type DiskEvent = z.infer<typeof schemas.DiskEvent>;
