import { createRoute } from "@hono/zod-openapi";
import type { OpenAPIHono, z } from "@hono/zod-openapi";
import { openSnapshotsThere } from "@lamella/image-store";
import type { GcReport, ManagedImage } from "@lamella/image-store";

import { createStoreUsage } from "../store-usage.js";
import { jsonAnswer, jsonBody, PROBLEM } from "./answers.js";
import type { ApiContext } from "./context.js";
import { hasEnded, imageDocument } from "./image-document.js";
import { linkSignals } from "./linked-signal.js";
import { Check, CheckReport, CollectGarbage, GarbageReport, Queue, Usage } from "./schemas.js";

const MAX_FINDINGS = 1000;
const MS = 1000;

const usageRoute = createRoute({
  method: "get",
  path: "/usage",
  responses: { 200: jsonAnswer(Usage, "What the store takes up, as it was some seconds ago"), ...PROBLEM },
});

const queueRoute = createRoute({
  method: "get",
  path: "/queue",
  responses: { 200: jsonAnswer(Queue, "What is built, and what waits for it"), ...PROBLEM },
});

const gcRoute = createRoute({
  method: "post",
  path: "/gc",
  request: { body: jsonBody(CollectGarbage, false) },
  responses: {
    200: jsonAnswer(GarbageReport, "What was removed, or would be. It ends when the client goes"),
    ...PROBLEM,
  },
});

const checkRoute = createRoute({
  method: "post",
  path: "/check",
  request: { body: jsonBody(Check, false) },
  responses: { 200: jsonAnswer(CheckReport, "What is wrong with the store. It ends when the client goes"), ...PROBLEM },
});

/** The store as a whole. */
export function addStoreRoutes(api: OpenAPIHono, { store, manager, events, stopping }: ApiContext): void {
  const usage = createStoreUsage(store, stopping);

  api.openapi(usageRoute, async (c) => c.json(await usage.read({ signal: c.req.raw.signal }), 200));

  api.openapi(queueRoute, async (c) => {
    const images = await manager.listImages({}, { signal: c.req.raw.signal });
    const waiting = images.filter((image) => !hasEnded(image)).toSorted(inQueue);
    const { limit, active, pending, length } = manager.queue;
    const shown = waiting.map((image) => imageDocument(image, events));
    return c.json({ limit, active, pending, length, images: shown }, 200);
  });

  api.openapi(gcRoute, async (c) => {
    const { dry_run: dryRun, grace_seconds: grace } = c.req.valid("json");
    const graceMs = grace === undefined ? undefined : grace * MS;
    using until = linkSignals(c.req.raw.signal, stopping);
    const { signal } = until;
    try {
      await using snapshotter = await openSnapshotsThere(store.directory, { signal });
      return c.json(reportDocument(await store.gc({ dryRun, graceMs, snapshotter, signal })), 200);
    } finally {
      usage.forget();
    }
  });

  api.openapi(checkRoute, async (c) => {
    const { repair } = c.req.valid("json");
    const findings: z.infer<typeof CheckReport>["findings"] = [];
    let omitted = 0;
    using until = linkSignals(c.req.raw.signal, stopping);
    try {
      for await (const finding of store.check({ repair, signal: until.signal })) {
        if (findings.length < MAX_FINDINGS) findings.push({ ...finding, repair: finding.repair ?? null });
        else omitted++;
      }
    } finally {
      usage.forget();
    }
    return c.json({ findings, omitted }, 200);
  });
}

function inQueue(one: ManagedImage, other: ManagedImage): number {
  return (one.queuePosition ?? 0) - (other.queuePosition ?? 0) || one.id - other.id;
}

function reportDocument({
  dryRun,
  images,
  snapshots,
  totals,
  freedBytes,
  young,
}: GcReport): z.infer<typeof GarbageReport> {
  const { blob, layer, disk, leftover } = totals;
  return {
    dry_run: dryRun,
    images: [...images],
    snapshots: [...snapshots],
    blobs: { ...blob },
    layers: { ...layer },
    disks: { ...disk },
    leftovers: { ...leftover },
    freed_bytes: freedBytes,
    young: { ...young },
  };
}
