import { z } from "@hono/zod-openapi";
import { SNAPSHOT_DRIVERS } from "@lamella/image-store";

import { DiskOptions, Format, Platform } from "./api/schemas.js";

const path = z.string().min(1).max(4096);
const host = z.string().min(1).max(255);

const SIZE = /^(\d{1,15})([KMGT]?)$/i;
const FACTORS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

const size = z
  .union([z.number(), z.string().regex(SIZE).transform(bytesOf)], "expected bytes, as 4096 or 10G")
  .pipe(z.number().int().nonnegative());

/** A file may name one without a list of one. */
const list = (item: z.ZodString) =>
  z.union([item.transform((text) => [text]), z.array(item)], "expected a text or several");

/** What lamellad can be told, by its file, its environment and its flags alike. Nothing has to be. */
export const SettingsDocument = z.strictObject({
  root: path.optional(),
  listen: list(z.string().min(1).max(300)).pipe(z.array(z.string()).min(1).max(16)).optional(),
  tokenFile: path.optional(),
  noToken: z.boolean().optional(),
  tls: z.strictObject({ cert: path.optional(), key: path.optional() }).optional(),
  builds: z.number().int().min(1).max(64).optional(),
  layers: z.number().int().min(1).max(64).optional(),
  quotas: z.strictObject({ maxBytes: size.optional(), minFreeBytes: size.optional() }).optional(),
  disk: z.strictObject({ format: Format, ...DiskOptions.shape }).optional(),
  platform: Platform.optional(),
  snapshotDriver: z.enum(SNAPSHOT_DRIVERS).optional(),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).optional(),
  plainHttp: list(host).pipe(z.array(z.string()).max(1000)).optional(),
  hostsDir: path.optional(),
  metrics: z.boolean().optional(),
});

export type SettingsDocument = z.infer<typeof SettingsDocument>;

/** One setting, as its file, environment and command line name it. */
export interface Setting {
  /** In the file: `tls.cert` is `cert` in the object `tls`. */
  readonly key: string;
  readonly flag: string;
  /** How a text says it. */
  readonly kind: "text" | "count" | "list" | "json" | "switch";
  /** Of a switch: what its flag, given, means. */
  readonly given?: boolean;
  readonly what: string;
  readonly otherwise: string;
}

export const SETTINGS: readonly Setting[] = [
  {
    key: "root",
    flag: "--root <dir>",
    kind: "text",
    what: "the store, made if need be",
    otherwise: "`$LAMELLA_ROOT`, else `lamella` in the XDG data directory",
  },
  {
    key: "listen",
    flag: "--listen <address>",
    kind: "list",
    what: "`unix:PATH` or `ADDRESS:PORT`, port 0 being any; several side by side",
    otherwise: "systemd's sockets, else `unix:$XDG_RUNTIME_DIR/lamella/lamellad.sock`",
  },
  {
    key: "tokenFile",
    flag: "--token-file <file>",
    kind: "text",
    what: "its first line is the token that clients show",
    otherwise: "`$LAMELLAD_TOKEN`; else one that is made, for TCP alone",
  },
  {
    key: "noToken",
    flag: "--no-token",
    kind: "switch",
    given: true,
    what: "let every local user and program in by TCP; on loopback only",
    otherwise: "false",
  },
  {
    key: "tls.cert",
    flag: "--tls-cert <file>",
    kind: "text",
    what: "PEM, with its chain: TCP is HTTPS",
    otherwise: "",
  },
  { key: "tls.key", flag: "--tls-key <file>", kind: "text", what: "PEM, without a passphrase", otherwise: "" },
  { key: "builds", flag: "--builds <count>", kind: "count", what: "images built at once", otherwise: "2" },
  { key: "layers", flag: "--layers <count>", kind: "count", what: "layers at once in each build", otherwise: "3" },
  {
    key: "quotas.maxBytes",
    flag: "--max-bytes <size>",
    kind: "text",
    what: "what the store may take: a build that would exceed it fails",
    otherwise: "all there is",
  },
  {
    key: "quotas.minFreeBytes",
    flag: "--min-free-bytes <size>",
    kind: "text",
    what: "what builds leave free on its file system",
    otherwise: "0",
  },
  {
    key: "disk",
    flag: "--disk <json>",
    kind: "json",
    what: "format and options of disks for which nobody gives a format",
    otherwise: '`{"format":"ext4"}`',
  },
  {
    key: "platform",
    flag: "--platform <os/arch[/variant]>",
    kind: "text",
    what: "of images for which nobody gives one",
    otherwise: "this machine's",
  },
  {
    key: "snapshotDriver",
    flag: "--snapshot-driver <name>",
    kind: "text",
    what: "how snapshots are kept: `tree`, `directory`, `overlay` or `erofs`",
    otherwise: "`tree`",
  },
  {
    key: "logLevel",
    flag: "--log-level <level>",
    kind: "text",
    what: "`trace`, `debug` (each request), `info`, `warn`, `error`, `fatal` or `silent`",
    otherwise: "`info`",
  },
  {
    key: "plainHttp",
    flag: "--plain-http <host>",
    kind: "list",
    what: "registries without HTTPS; several",
    otherwise: "this machine",
  },
  {
    key: "hostsDir",
    flag: "--hosts-dir <dir>",
    kind: "text",
    what: "mirrors and certificates, as containerd's `certs.d`",
    otherwise: "`lamella/certs.d` in the XDG configuration directory",
  },
  {
    key: "metrics",
    flag: "--no-metrics",
    kind: "switch",
    given: false,
    what: "whether `/metrics` is there",
    otherwise: "true",
  },
];

/** `LAMELLAD_MAX_BYTES` for `--max-bytes <size>`. */
export function environmentName({ flag }: Setting): string {
  const name = flag.replace(/^--/, "").replace(/ .*$/, "");
  // a variable says what is, not what is not
  const positive = name === "no-metrics" ? "metrics" : name;
  return `LAMELLAD_${positive.toUpperCase().replaceAll("-", "_")}`;
}

function bytesOf(text: string): number {
  const [, digits = "", suffix = ""] = SIZE.exec(text) ?? [];
  return Number(digits) * (FACTORS[suffix.toUpperCase()] ?? Number.NaN);
}
