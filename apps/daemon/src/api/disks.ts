import { createRoute, z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";

import { DaemonError } from "../errors.js";
import { openKeptDisk } from "../kept-disk.js";
import { BYTES, jsonAnswer, PROBLEM } from "./answers.js";
import type { ApiContext } from "./context.js";
import { sendDownload } from "./download.js";
import { NbdAttachment } from "./schemas.js";

const params = z.object({ key: z.string().regex(/^[0-9a-f]{64}$/) });

const diskRoute = createRoute({
  method: "get",
  path: "/disks/{key}",
  request: { params },
  responses: { ...BYTES, ...PROBLEM },
});

const listRoute = createRoute({
  method: "get",
  path: "/nbd",
  responses: { 200: jsonAnswer(z.array(NbdAttachment), "The disks that are served as block devices"), ...PROBLEM },
});

const attachRoute = createRoute({
  method: "put",
  path: "/disks/{key}/nbd",
  request: { params },
  responses: { 200: jsonAnswer(NbdAttachment, "It is served, by now or already"), ...PROBLEM },
});

const detachRoute = createRoute({
  method: "delete",
  path: "/disks/{key}/nbd",
  request: { params },
  responses: { 204: { description: "It is not served any more, and its clients are cut off" }, ...PROBLEM },
});

/** The disks as bytes, and as block devices. */
export function addDiskRoutes(api: OpenAPIHono, { store, attachments, onError }: ApiContext): void {
  api.openapi(diskRoute, async (c) => {
    const { key } = c.req.valid("param");
    const { signal } = c.req.raw;
    const disk = await openKeptDisk(store, key, { purpose: `send disk ${key}`, signal });
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Disposition": `attachment; filename="${key}.img"`,
      "X-Content-Type-Options": "nosniff",
    };
    return sendDownload(c.req.raw, { ...disk, tag: key, headers }, onError);
  });
  api.openapi(listRoute, (c) => c.json([...attachments.list()], 200));
  api.openapi(attachRoute, async (c) => {
    const { signal } = c.req.raw;
    return c.json(await attachments.attach(c.req.valid("param").key, { signal }), 200);
  });
  api.openapi(detachRoute, async (c) => {
    const { key } = c.req.valid("param");
    if (await attachments.detach(key, { signal: c.req.raw.signal })) return c.body(null, 204);
    throw new DaemonError("not_found", `cannot detach disk ${key}: not served`);
  });
}
