/** What a daemon might say, always the same: the page's views are judged and pictured with it. */

export const NOW: Date = new Date("2025-03-14T09:26:53Z");

/** What a page must show as text: it runs where it is taken for anything else. */
export const HOSTILE = `<img src=x onerror="document.title='owned'">`;

const MIB = 1 << 20;
const GIB = 1 << 30;

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = Readonly<Record<string, Json>>;

function ago(seconds: number): string {
  return new Date(NOW.getTime() - 1000 * seconds).toISOString();
}

/** Digits that look like a digest, of a seed. */
function digest(seed: number): string {
  let state = seed * 2_654_435_761 + 1;
  const digits = Array.from({ length: 64 }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return ((state >> 12) & 15).toString(16);
  });
  return `sha256:${digits.join("")}`;
}

const READY = {
  entrypoint: ["docker-entrypoint.sh"],
  cmd: ["node", "server.js", "--title", "Hello, world"],
  env: {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    NODE_VERSION: "20.19.0",
    NODE_ENV: "production",
  },
  working_dir: "/app",
  user: "node",
  labels: {
    "org.opencontainers.image.source": "https://git.example/shop",
    "org.opencontainers.image.version": "4.2.0",
  },
  stop_signal: "SIGTERM",
  is_systemd: false,
};

function image(id: number, name: string, rest: JsonObject): JsonObject {
  const isReady = rest["status"] === "ready";
  const sizeBytes = (rest["size_bytes"] as number | undefined) ?? null;
  const format = (rest["format"] as string | undefined) ?? "ext4";
  const created = rest["created_at"] as string;
  return {
    id,
    name,
    digest: digest(id),
    manifest_digest: isReady ? digest(id + 100) : null,
    platform: "linux/amd64",
    format,
    options: {},
    queue_position: null,
    progress: null,
    error: null,
    error_code: null,
    size_bytes: sizeBytes,
    entrypoint: null,
    cmd: null,
    env: {},
    working_dir: null,
    user: null,
    labels: {},
    stop_signal: null,
    is_systemd: null,
    disks: isReady ? [{ key: digest(id + 200).slice(7), format, size_bytes: sizeBytes }] : [],
    started_at: created,
    finished_at: isReady ? new Date(Date.parse(created) + 8400).toISOString() : null,
    ...(isReady ? READY : {}),
    ...rest,
  };
}

const SHOP = image(4, "docker.io/library/node:20-slim", {
  status: "ready",
  size_bytes: 312 * MIB,
  created_at: ago(540),
});

export const images: readonly JsonObject[] = [
  image(9, "ghcr.io/acme/payments/reconciliation-worker:2025.03.14-rc1", {
    status: "pending",
    queue_position: 1,
    started_at: null,
    created_at: ago(6),
  }),
  image(8, "docker.io/library/postgres:17", {
    status: "pulling",
    queue_position: 0,
    format: "erofs",
    progress: { done_bytes: 61 * MIB, total_bytes: 148 * MIB, layers_done: 1, layers_total: 3 },
    created_at: ago(14),
  }),
  image(7, "docker.io/library/debian:12-slim", {
    status: "converting",
    queue_position: 0,
    progress: { done_bytes: 71 * MIB, total_bytes: 97 * MIB, layers_done: 1, layers_total: 1 },
    created_at: ago(21),
  }),
  image(6, "registry.example/team/app:v9", {
    status: "failed",
    error: "cannot resolve registry.example/team/app:v9: the registry asks who is there (401)",
    error_code: "unauthorized",
    finished_at: ago(200),
    created_at: ago(201),
  }),
  image(5, "localhost/shop:v4", { status: "ready", size_bytes: 318 * MIB, created_at: ago(420), format: "erofs" }),
  SHOP,
  image(3, "docker.io/library/redis:7", { status: "cancelled", finished_at: ago(3700), created_at: ago(3720) }),
  image(2, "docker.io/library/alpine:3.20", {
    status: "ready",
    platform: "linux/arm64",
    size_bytes: Math.round(9.4 * MIB),
    created_at: ago(93_000),
  }),
  image(1, "quay.io/fedora/fedora:41", {
    status: "ready",
    format: "erofs-layers",
    size_bytes: 171 * MIB,
    is_systemd: true,
    created_at: ago(86_400 * 12),
  }),
];

/** The one that is looked into. */
export const SHOWN = { name: "docker.io/library/node:20-slim", platform: "linux/amd64", format: "ext4" };

const change = (files: number, bytes: number): JsonObject => ({ files, bytes: Math.round(bytes) });
const NONE = change(0, 0);

export const layers: JsonObject = {
  layers: [
    layer(0, 28.2, "/bin/sh -c #(nop) ADD file:4ab3f0c9d2f1c1b7e in / ", {
      added: change(3381, 78 * MIB),
      wasted_bytes: 1.9 * MIB,
    }),
    layer(
      1,
      41.5,
      'RUN /bin/sh -c ARCH= && dpkgArch="$(dpkg --print-architecture)" && set -ex && curl -fsSLO --compressed "https://nodejs.org/dist/v$NODE_VERSION/node-v$NODE_VERSION-linux-x64.tar.xz" # buildkit',
      {
        added: change(5127, 138 * MIB),
        changed: change(41, 1.9 * MIB),
        wasted_bytes: 4.4 * MIB,
      },
    ),
    layer(2, 1.7, "COPY docker-entrypoint.sh /usr/local/bin/ # buildkit", { added: change(1, 388) }),
    layer(3, 12.9, "RUN npm ci --omit=dev && rm -rf /root/.npm # buildkit", {
      added: change(2210, 44 * MIB),
      changed: change(3, 12_400),
      removed: change(214, 4.4 * MIB),
    }),
  ],
  content_bytes: 264 * MIB,
  wasted_bytes: Math.round(6.3 * MIB),
  efficiency: 0.976,
};

function layer(index: number, mib: number, by: string, rest: JsonObject): JsonObject {
  return {
    index,
    digest: digest(300 + index),
    diff_id: digest(400 + index),
    media_type: "application/vnd.oci.image.layer.v1.tar+gzip",
    size_bytes: Math.round(mib * MIB),
    created_by: by,
    added: NONE,
    changed: NONE,
    removed: NONE,
    wasted_bytes: 0,
    ...Object.fromEntries(
      Object.entries(rest).map(([key, value]) => [key, typeof value === "number" ? Math.round(value) : value]),
    ),
  };
}

interface Named {
  readonly kind?: string;
  readonly change?: string;
  readonly layer?: number;
  readonly size?: number;
  readonly mode?: number;
  readonly target?: string;
}

function entry(
  path: string,
  { kind = "file", change: by = "unchanged", layer: of = 0, size = 0, mode, target }: Named,
): JsonObject {
  return {
    name: path.slice(path.lastIndexOf("/") + 1),
    path,
    kind,
    change: by,
    layer: of,
    mode: mode ?? (kind === "directory" ? 0o755 : kind === "symlink" ? 0o777 : 0o644),
    uid: 0,
    gid: 0,
    size_bytes: size,
    mtime: "2025-02-24T00:00:00Z",
    link_target: target ?? null,
  };
}

const directory = (path: string, size: number, rest: Named = {}): JsonObject =>
  entry(path, { kind: "directory", size, ...rest });
const link = (path: string, target: string): JsonObject => entry(path, { kind: "symlink", target });

const MERGED: Readonly<Record<string, readonly JsonObject[]>> = {
  "": [
    directory("app", 44.1 * MIB, { layer: 3 }),
    link("bin", "usr/bin"),
    directory("etc", 602_112, { layer: 3 }),
    directory("home", 4410, { layer: 1 }),
    link("lib", "usr/lib"),
    directory("root", 161, { layer: 3, mode: 0o700 }),
    directory("tmp", 0, { mode: 0o1777 }),
    directory("usr", 211 * MIB, { layer: 2 }),
    directory("var", 3.2 * MIB, { layer: 1 }),
  ],
  app: [
    directory("app/node_modules", 43.7 * MIB, { layer: 3 }),
    entry("app/package-lock.json", { size: 188_417, layer: 3 }),
    entry("app/package.json", { size: 1204, layer: 3 }),
    entry("app/server.js", { size: 8812, layer: 3 }),
    entry(`app/${HOSTILE}`, { size: 12, layer: 3 }),
  ],
  home: [directory("home/node", 4410, { layer: 1 })],
};

const CHANGES: Readonly<Record<string, readonly JsonObject[]>> = {
  "": [
    directory("app", 44.1 * MIB, { change: "added", layer: 3 }),
    directory("etc", 12_400, { change: "changed", layer: 3 }),
    directory("root", 161, { change: "changed", layer: 3, mode: 0o700 }),
    directory("usr", 4.4 * MIB, { change: "changed", layer: 3 }),
  ],
  etc: [
    entry("etc/group", { change: "changed", layer: 3, size: 459 }),
    entry("etc/ld.so.cache", { change: "changed", layer: 3, size: 10_916 }),
    entry("etc/passwd", { change: "changed", layer: 3, size: 970 }),
  ],
  root: [
    directory("root/.npm", 4.4 * MIB, { change: "removed", layer: 1 }),
    entry("root/.npmrc", { change: "added", layer: 3, size: 161, mode: 0o600 }),
    entry("root/.wget-hsts", { change: "removed", layer: 1, size: 188 }),
  ],
  "root/.npm": [
    directory("root/.npm/_cacache", 4.3 * MIB, { change: "removed", layer: 1 }),
    directory("root/.npm/_logs", 88_310, { change: "removed", layer: 1 }),
  ],
};

/** More than the page asks for at once. */
export const MANY = 1203;
const LARGE: readonly JsonObject[] = Array.from({ length: MANY }, (_, index) =>
  entry(`var/${String(index).padStart(4, "0")}`, { layer: 1, size: index }),
);

export interface FilesQuery {
  readonly path: string;
  readonly layer: string | null;
  readonly after: string | null;
  readonly limit: number;
}

export function files({ path, layer: of, after, limit }: FilesQuery): JsonObject {
  const all = path === "var" ? LARGE : ((of === null ? MERGED : CHANGES)[path] ?? []);
  const start = after === null ? 0 : all.findIndex(({ name }) => name === after) + 1;
  const entries = all.slice(start, start + limit);
  const next = start + limit < all.length ? (entries.at(-1)?.["name"] ?? null) : null;
  return { path, entries: entries.map(whole), next };
}

function whole(each: JsonObject): JsonObject {
  return { ...each, size_bytes: Math.round(each["size_bytes"] as number) };
}

export const queue: JsonObject = {
  limit: 2,
  active: 2,
  pending: 1,
  length: 3,
  images: [images[2] ?? {}, images[1] ?? {}, images[0] ?? {}],
};

const used = (seed: number, names: readonly string[], size: number, shared: number): JsonObject => ({
  manifest_digest: digest(seed),
  names,
  size_bytes: Math.round(size * MIB),
  shared_bytes: Math.round(shared * MIB),
  unique_bytes: Math.round(size * MIB) - Math.round(shared * MIB),
});

export const usage: JsonObject = {
  images: [
    used(104, ["docker.io/library/node:20-slim"], 84.3, 69.7),
    used(105, ["localhost/shop:v4", "localhost/shop:latest"], 96.8, 69.7),
    used(102, ["docker.io/library/alpine:3.20"], 3.9, 0),
    used(101, ["quay.io/fedora/fedora:41"], 61.2, 0),
    used(110, [], 34.4, 0),
  ],
  image_bytes: Math.round(210.9 * MIB),
  disk_bytes: 810 * MIB,
  layer_bytes: 305 * MIB,
  blob_bytes: Math.round(233.1 * MIB),
  collectable_bytes: 402 * MIB,
  free_bytes: 118 * GIB,
};

const garbage = { count: 1, bytes: 0 };
export const garbageReport: JsonObject = {
  dry_run: true,
  images: [digest(110)],
  snapshots: [],
  blobs: { count: 9, bytes: 56 * MIB },
  layers: { count: 3, bytes: 48 * MIB },
  disks: { count: 1, bytes: 298 * MIB },
  leftovers: garbage,
  freed_bytes: 402 * MIB,
  young: { count: 2, bytes: 3 * MIB },
};

export const checkReport: JsonObject = {
  findings: [
    {
      kind: "blob",
      subject: digest(301),
      problem: "its bytes are not those of its digest",
      repair: "remove it, so that it is fetched again",
    },
  ],
  omitted: 0,
};

/** In the order of the layers: some are here, one is on its way, others wait. */
export const layerEvents: readonly JsonObject[] = [
  { state: "done", cached: true, done_bytes: 28 * MIB, total_bytes: 28 * MIB },
  { state: "pulling", cached: false, done_bytes: 33 * MIB, total_bytes: 72 * MIB },
  { state: "waiting", cached: false, done_bytes: 0, total_bytes: 48 * MIB },
].map((each, index) => ({ id: 8, name: "docker.io/library/postgres:17", layer: digest(500 + index), ...each }));
