import { z } from "@hono/zod-openapi";

/** What the HTTP API takes and gives, in the order of DESIGN: the OpenAPI document is made of these. Names are snake_case, sizes bytes, times RFC 3339. */

const text = (max: number) => z.string().min(1).max(max);
const bytes = z.number().int().nonnegative();
const time = z.iso.datetime();
const digest = z.string().regex(/^sha(256|512):[0-9a-f]{64,128}$/);

export const Problem = z
  .object({
    type: z.string().describe("`about:blank`: `code` says what it is"),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().describe("What could not be done, and why"),
    code: z.string().describe("Stable, for programs: `not_found`, `invalid_name`, …"),
  })
  .openapi("Problem");

export const Status = z
  .enum(["pending", "pulling", "converting", "ready", "failed", "cancelled"])
  .openapi("Status", { description: "`failed` and `cancelled` can be asked for again" });

export const Format = z.enum(["ext4", "erofs", "erofs-layers", "cpio", "tar"]).openapi("Format");

export const Platform = z
  .string()
  .max(100)
  .regex(/^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9.]+)?$/)
  .openapi("Platform", { example: "linux/amd64" });

/** Which of them a format has is for @lamella/image-store to say. */
export const DiskOptions = z
  .strictObject({
    label: z.string().max(64).optional(),
    uuid: z.uuid().optional(),
    epochSeconds: bytes.optional(),
    verity: z.boolean().optional(),
    gpt: z.boolean().optional(),
    alignBytes: bytes.optional(),
    sizeBytes: bytes.optional(),
    freeBytes: bytes.optional(),
    journal: z.boolean().optional(),
    inodes: bytes.optional(),
    reservedPercent: z.number().min(0).max(50).optional(),
    compression: z.enum(["none", "lz4", "deflate", "zstd", "gzip"]).optional(),
    dedupe: z.boolean().optional(),
    wholeBlocks: z.boolean().optional(),
    overlayXattrs: z.enum(["trusted", "user", "both"]).optional(),
  })
  .openapi("DiskOptions", { description: "As `lamella disk` has them; each format has its own" });

export const CreateImage = z
  .strictObject({
    name: text(512).openapi({ example: "alpine:3.20" }),
    from: text(512)
      .optional()
      .describe("An image of the store, by name or digest, that the name is to stand for: nothing is pulled"),
    platform: Platform.optional().describe("The daemon's own by default"),
    format: Format.optional(),
    options: DiskOptions.optional(),
  })
  .openapi("CreateImage");

export const Disk = z
  .object({
    key: z.string().describe("Equal keys are equal bytes"),
    format: Format,
    size_bytes: bytes,
  })
  .openapi("Disk");

export const Progress = z
  .object({
    done_bytes: bytes,
    total_bytes: bytes,
    layers_done: z.number().int(),
    layers_total: z.number().int(),
  })
  .openapi("Progress", { description: "Of the layers while pulling, of the disk while converting" });

/** Data of the event `layer`. */
export const LayerEvent = z.object({
  id: z.number().int().describe("Of the build, as in Image"),
  name: z.string(),
  layer: digest,
  state: z.enum(["waiting", "pulling", "done"]),
  cached: z.boolean(),
  done_bytes: bytes,
  total_bytes: bytes,
});

/** Data of the event `disk`. */
export const DiskEvent = z.object({ id: z.number().int(), name: z.string(), done_bytes: bytes, total_bytes: bytes });

export const Image = z
  .object({
    id: z.number().int().describe("Of the build; it stays the same when a failed one is asked for again"),
    name: z.string().describe("The whole reference: docker.io/library/alpine:3.20"),
    digest: digest.describe("What the name stood for when the image was asked for"),
    manifest_digest: digest.nullable(),
    platform: Platform,
    format: Format,
    options: DiskOptions,
    status: Status,
    queue_position: z.number().int().nullable().describe("0 while it is built, 1 for the next; null when it has ended"),
    progress: Progress.nullable().describe("null unless this daemon is at it"),
    error: z.string().nullable(),
    error_code: z.string().nullable(),
    size_bytes: bytes.nullable().describe("Of the disks together"),
    entrypoint: z.array(z.string()).nullable(),
    cmd: z.array(z.string()).nullable(),
    env: z.record(z.string(), z.string()),
    working_dir: z.string().nullable(),
    user: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    stop_signal: z.string().nullable(),
    is_systemd: z.boolean().nullable().describe("Whether a machine can boot into it"),
    disks: z.array(Disk).describe("One, or one a layer, base first; empty until it is ready"),
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
  })
  .openapi("Image");

export const Layer = z
  .object({
    index: z.number().int().describe("0 is the base"),
    digest,
    diff_id: digest,
    media_type: z.string(),
    size_bytes: bytes.describe("As transported"),
    created_by: z.string().nullable().describe("The step that made it, as the image's history says"),
    added: z.object({ files: z.number().int(), bytes }),
    changed: z.object({ files: z.number().int(), bytes }),
    removed: z.object({ files: z.number().int(), bytes: bytes.describe("Of what the layers below had there") }),
    wasted_bytes: bytes.describe("Of this layer's files, what layers above replace or remove"),
  })
  .openapi("Layer");

export const Layers = z
  .object({
    layers: z.array(Layer),
    content_bytes: bytes.describe("Of all layers' files"),
    wasted_bytes: bytes,
    efficiency: z
      .number()
      .min(0)
      .max(1)
      .describe("Of the bytes of all layers' files, the part that can be seen in the end"),
  })
  .openapi("Layers");

export const FileEntry = z
  .object({
    name: z.string().describe("Escaped where it is no plain text; only for people"),
    path: z.string().describe("For the parameter `path`: bytes that are no UTF-8 are %XX, and % is %25"),
    kind: z.enum(["file", "directory", "symlink", "fifo", "character-device", "block-device", "socket"]),
    change: z
      .enum(["added", "changed", "removed", "unchanged"])
      .describe("By the layer asked for; `unchanged` in the whole image"),
    layer: z.number().int().describe("Which layer it is of"),
    mode: z.number().int(),
    uid: z.number().int(),
    gid: z.number().int(),
    size_bytes: bytes.describe("A directory's: of all below it"),
    mtime: time,
    link_target: z.string().nullable(),
  })
  .openapi("FileEntry");

export const Files = z
  .object({
    path: z.string(),
    entries: z.array(FileEntry),
    next: z.string().nullable().describe("For the parameter `after`; null at the end"),
  })
  .openapi("Files");

const ImageUsage = z
  .object({
    manifest_digest: digest,
    names: z.array(z.string()),
    size_bytes: bytes,
    shared_bytes: bytes,
    unique_bytes: bytes.describe("What would be free without it"),
  })
  .openapi("ImageUsage");

export const Usage = z
  .object({
    images: z.array(ImageUsage),
    image_bytes: bytes.describe("Of all images, each blob once"),
    disk_bytes: bytes.describe("As the disks lie on disk: holes take nothing"),
    layer_bytes: bytes.describe("Of the layer archives, which can be made again"),
    blob_bytes: bytes.describe("Of all blobs, those of images included"),
    collectable_bytes: bytes.describe("What `POST /gc` with `grace_seconds` 0 would free, some seconds ago"),
    free_bytes: bytes.describe("Left on the file system"),
  })
  .openapi("Usage");

export const Queue = z
  .object({
    limit: z.number().int().describe("Builds at once"),
    active: z.number().int(),
    pending: z.number().int(),
    length: z.number().int(),
    images: z.array(Image).describe("Those that have not ended, in the order of the queue"),
  })
  .openapi("Queue");

export const CollectGarbage = z
  .strictObject({
    dry_run: z.boolean().optional(),
    grace_seconds: bytes.optional().describe("What is younger stays; 3,600 by default"),
  })
  .openapi("CollectGarbage");

const total = z.object({ count: z.number().int(), bytes });
export const GarbageReport = z
  .object({
    dry_run: z.boolean(),
    images: z.array(digest),
    snapshots: z.array(z.string()).describe("Of images that are gone, by their names"),
    blobs: total,
    layers: total,
    disks: total,
    leftovers: total,
    freed_bytes: bytes,
    young: total,
  })
  .openapi("GarbageReport");

export const Check = z.strictObject({ repair: z.boolean().optional() }).openapi("Check");
export const CheckReport = z
  .object({
    findings: z.array(
      z.object({ kind: z.string(), subject: z.string(), problem: z.string(), repair: z.string().nullable() }),
    ),
    omitted: z.number().int().describe("Findings beyond the first 1,000"),
  })
  .openapi("CheckReport");

export const NbdAttachment = z
  .object({
    key: z.string(),
    uri: z.string().openapi({ example: "nbd+unix:///KEY?socket=/run/lamella/nbd.sock" }),
    connections: z.number().int(),
  })
  .openapi("NbdAttachment");

export const Snapshot = z
  .object({
    name: z.string(),
    kind: z.enum(["active", "view", "committed"]),
    parent: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    created_at: time,
    updated_at: time,
  })
  .openapi("Snapshot");

export const CreateSnapshot = z
  .strictObject({
    key: text(255),
    parent: text(512).optional(),
    readonly: z.boolean().optional().describe("A view, to which nothing is written"),
    labels: z.record(z.string(), z.string()).optional(),
  })
  .openapi("CreateSnapshot");

export const CommitSnapshot = z
  .strictObject({ name: text(255), labels: z.record(z.string(), z.string()).optional() })
  .openapi("CommitSnapshot");

export const Mount = z
  .object({ type: z.string(), source: z.string(), target: z.string().nullable(), options: z.array(z.string()) })
  .openapi("Mount");

export const MountedSnapshot = z
  .object({ snapshot: Snapshot, mounts: z.array(Mount).describe("How to mount it; none of a committed one") })
  .openapi("MountedSnapshot");

export const SnapshotDetails = MountedSnapshot.extend({
  usage: z.object({ bytes, inodes: z.number().int().nonnegative() }).describe("Of itself, without its parents"),
}).openapi("SnapshotDetails");
