import type { ManagedImage } from "@lamella/image-store";
import { formatPlatform } from "@lamella/refs";
import type { z } from "@hono/zod-openapi";

import type { EventLog } from "./context.js";
import type { Image } from "./schemas.js";

export type ImageDocument = z.infer<typeof Image>;

/** An image as the API shows it, with how far its build is if this daemon is at it. */
export function imageDocument(image: ManagedImage, events: Pick<EventLog, "progressOf">): ImageDocument {
  const { built } = image;
  const { format, ...options } = image.request;
  return {
    id: image.id,
    name: image.name,
    digest: image.digest,
    manifest_digest: image.manifestDigest ?? null,
    platform: formatPlatform(image.platform),
    format,
    options: options as ImageDocument["options"],
    status: image.status,
    queue_position: image.queuePosition ?? null,
    progress: isUnderWay(image) ? (events.progressOf(image.id) ?? null) : null,
    error: image.error ?? null,
    error_code: image.errorCode ?? null,
    size_bytes: built?.sizeBytes ?? null,
    ...runDocument(built),
    is_systemd: built?.isSystemdImage ?? null,
    disks: (built?.disks ?? []).map(({ key, format, sizeBytes }) => ({ key, format, size_bytes: sizeBytes })),
    created_at: image.createdAt.toISOString(),
    started_at: image.startedAt?.toISOString() ?? null,
    finished_at: image.finishedAt?.toISOString() ?? null,
  };
}

/** Whether a build has ended, whatever came of it. */
export function hasEnded({ status }: Pick<ManagedImage, "status">): boolean {
  return status === "ready" || status === "failed" || status === "cancelled";
}

function isUnderWay({ status }: ManagedImage): boolean {
  return status === "pulling" || status === "converting";
}

type RunDocument = Pick<
  ImageDocument,
  "entrypoint" | "cmd" | "env" | "working_dir" | "user" | "labels" | "stop_signal"
>;

function runDocument(built: ManagedImage["built"]): RunDocument {
  const { entrypoint, cmd, env = [], workingDir, user, labels = {}, stopSignal } = built?.config ?? {};
  return {
    entrypoint: entrypoint === undefined ? null : [...entrypoint],
    cmd: cmd === undefined ? null : [...cmd],
    env: Object.fromEntries(env.map(variableOf)),
    working_dir: workingDir ?? null,
    user: user ?? null,
    labels: { ...labels },
    stop_signal: stopSignal ?? null,
  };
}

function variableOf(text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
