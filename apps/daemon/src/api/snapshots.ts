import { createRoute, z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Mount as SnapshotMount, SnapshotInfo } from "@lamella/snapshot";

import { jsonAnswer, jsonBody, PROBLEM } from "./answers.js";
import type { ApiContext } from "./context.js";
import { CommitSnapshot, CreateSnapshot, Mount, MountedSnapshot, Snapshot, SnapshotDetails } from "./schemas.js";

const params = z.object({ name: z.string().min(1).max(512) });

const listRoute = createRoute({
  method: "get",
  path: "/snapshots",
  responses: { 200: jsonAnswer(z.array(Snapshot), "In the order of their names"), ...PROBLEM },
});

const createRouteOf = createRoute({
  method: "post",
  path: "/snapshots",
  request: { body: jsonBody(CreateSnapshot, true) },
  responses: { 201: jsonAnswer(MountedSnapshot, "One to write to, or a view"), ...PROBLEM },
});

const getRoute = createRoute({
  method: "get",
  path: "/snapshots/{name}",
  request: { params },
  responses: { 200: jsonAnswer(SnapshotDetails, "With what it takes up itself"), ...PROBLEM },
});

const commitRoute = createRoute({
  method: "post",
  path: "/snapshots/{name}/commit",
  request: { params, body: jsonBody(CommitSnapshot, true) },
  responses: { 201: jsonAnswer(Snapshot, "It goes by its new name now, and never changes"), ...PROBLEM },
});

const deleteRoute = createRoute({
  method: "delete",
  path: "/snapshots/{name}",
  request: { params },
  responses: { 204: { description: "It is gone" }, ...PROBLEM },
});

/** The snapshots of the store. */
export function addSnapshotRoutes(api: OpenAPIHono, { openSnapshots }: ApiContext): void {
  api.openapi(listRoute, async (c) => {
    const { signal } = c.req.raw;
    const snapshots = await openSnapshots({ signal });
    const found: SnapshotInfo[] = [];
    for await (const info of snapshots.walk({ signal })) found.push(info);
    return c.json(found.map(snapshotDocument), 200);
  });

  api.openapi(createRouteOf, async (c) => {
    const { signal } = c.req.raw;
    const { key, parent, readonly = false, labels } = c.req.valid("json");
    const snapshots = await openSnapshots({ signal });
    const make = readonly ? snapshots.view : snapshots.prepare;
    const mounts = await make.call(snapshots, key, parent, { labels, signal });
    const snapshot = snapshotDocument(await snapshots.stat(key, { signal }));
    return c.json({ snapshot, mounts: mounts.map(mountDocument) }, 201, { Location: locationOf(key) });
  });

  api.openapi(getRoute, async (c) => {
    const { signal } = c.req.raw;
    const { name } = c.req.valid("param");
    const snapshots = await openSnapshots({ signal });
    const info = await snapshots.stat(name, { signal });
    const mounts = info.kind === "committed" ? [] : await snapshots.mounts(name, { signal });
    const { bytes, inodes } = await snapshots.usage(name, { signal });
    return c.json(
      { snapshot: snapshotDocument(info), mounts: mounts.map(mountDocument), usage: { bytes, inodes } },
      200,
    );
  });

  api.openapi(commitRoute, async (c) => {
    const { signal } = c.req.raw;
    const { name, labels } = c.req.valid("json");
    const snapshots = await openSnapshots({ signal });
    await snapshots.commit(name, c.req.valid("param").name, { labels, signal });
    const snapshot = snapshotDocument(await snapshots.stat(name, { signal }));
    return c.json(snapshot, 201, { Location: locationOf(name) });
  });

  api.openapi(deleteRoute, async (c) => {
    const { signal } = c.req.raw;
    const snapshots = await openSnapshots({ signal });
    await snapshots.remove(c.req.valid("param").name, { signal });
    return c.body(null, 204);
  });
}

/** From wherever the API is mounted. */
function locationOf(name: string): string {
  return `/snapshots/${encodeURIComponent(name)}`;
}

function snapshotDocument(info: SnapshotInfo): z.infer<typeof Snapshot> {
  const { name, kind, parent, labels, createdAt, updatedAt } = info;
  return {
    name,
    kind,
    parent: parent ?? null,
    labels: { ...labels },
    created_at: createdAt.toISOString(),
    updated_at: updatedAt.toISOString(),
  };
}

function mountDocument({ type, source, target, options }: SnapshotMount): z.infer<typeof Mount> {
  return { type, source, target: target ?? null, options: [...options] };
}
