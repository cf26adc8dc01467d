import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import { canonicalOptions, defaultStoreDirectory } from "@lamella/image-store";
import type { DiskRequest, SnapshotDriverName } from "@lamella/image-store";
import { formatPlatform, hostPlatform, LamellaError, quote } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

import { defaultListen } from "./default-listen.js";
import { DaemonError } from "./errors.js";
import { environmentName, SETTINGS, SettingsDocument } from "./settings.js";
import type { Setting } from "./settings.js";

type Environment = Readonly<Record<string, string | undefined>>;
type Values = Readonly<Record<string, unknown>>;

/** What the daemon goes by: everything is said. */
export interface Settings {
  readonly root: string;
  readonly listen: readonly string[];
  readonly tokenFile: string | undefined;
  readonly noToken: boolean;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly builds: number;
  readonly layers: number;
  readonly quotas: { readonly maxBytes?: number | undefined; readonly minFreeBytes?: number | undefined };
  readonly disk: DiskRequest;
  readonly platform: string;
  readonly snapshotDriver: SnapshotDriverName;
  readonly logLevel: NonNullable<SettingsDocument["logLevel"]>;
  readonly plainHttp: readonly string[];
  readonly hostsDir: string;
  readonly metrics: boolean;
}

export interface SettingsSources extends CallOptions {
  readonly environment: Environment;
  /** Of the flags that were given, their texts by {@link Setting.key}; of a switch, its value. */
  readonly flags: Values;
  /** The file that was named; without, the default one, which need not be there. */
  readonly file?: string | undefined;
  /** Who runs the daemon. */
  readonly uid: number;
  /** Whether somebody has bound sockets for it already. */
  readonly isActivated: boolean;
}

/** Variables with this prefix that are no settings. */
const OTHER_VARIABLES = new Set(["LAMELLAD_TOKEN", "LAMELLAD_CONFIG"]);
const FILE_MAX_BYTES = 1 << 20;
const DEFAULT_BUILDS = 2;
const DEFAULT_LAYERS = 3;

/**
 * The settings: of flags, else of the environment (`LAMELLAD_…`), else of the file. What a source says is checked even where another is heard instead.
 * @throws {DaemonError} `settings_invalid` naming the source and the setting; `directory_unset`
 */
export async function readSettings(sources: SettingsSources): Promise<Settings> {
  const { environment, flags, isActivated } = sources;
  const document: SettingsDocument = {};
  for (const given of [await fromFile(sources), fromEnvironment(environment), fromFlags(flags)]) {
    const tls = { ...document.tls, ...given.tls };
    const quotas = { ...document.quotas, ...given.quotas };
    Object.assign(document, given, { tls, quotas });
  }
  const listen = document.listen ?? (isActivated ? [] : [defaultListen(environment)]);
  return {
    root: document.root ?? defaultStoreDirectory(environment),
    listen,
    tokenFile: document.tokenFile,
    noToken: document.noToken ?? false,
    tls: wholeTls(document.tls),
    builds: document.builds ?? DEFAULT_BUILDS,
    layers: document.layers ?? DEFAULT_LAYERS,
    quotas: document.quotas ?? {},
    disk: (document.disk ?? { format: "ext4" }) as DiskRequest,
    platform: document.platform ?? formatPlatform(hostPlatform()),
    snapshotDriver: document.snapshotDriver ?? "tree",
    logLevel: document.logLevel ?? "info",
    plainHttp: document.plainHttp ?? [],
    hostsDir: document.hostsDir ?? join(configDirectory(environment), "certs.d"),
    metrics: document.metrics ?? true,
  };
}

function configDirectory({ XDG_CONFIG_HOME: config, HOME: home }: Environment): string {
  return join(config || join(home || homedir(), ".config"), "lamella");
}

async function fromFile({ file, environment, uid, signal }: SettingsSources): Promise<SettingsDocument> {
  const named = file ?? environment["LAMELLAD_CONFIG"];
  const directory = uid === 0 ? "/etc/lamella" : configDirectory(environment);
  const path = named ?? join(directory, "lamellad.json");
  let text;
  try {
    text = await readFile(path, { encoding: "utf8", signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (named === undefined && (error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw invalid(path, error instanceof Error ? error.message : String(error), error);
  }
  if (text.length > FILE_MAX_BYTES) throw invalid(path, `it is over ${FILE_MAX_BYTES} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    // not the parser's own words: they show what the file has
    throw invalid(path, "it is no JSON", error);
  }
  return check(json, (key) => (key === "" ? path : `${path}: ${key}`));
}

function fromEnvironment(environment: Environment): SettingsDocument {
  const known = new Map(SETTINGS.map((setting) => [environmentName(setting), setting]));
  const values: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith("LAMELLAD_") || OTHER_VARIABLES.has(name) || text === undefined) continue;
    const setting = known.get(name);
    if (setting === undefined) throw invalid(`$${quote(name).slice(1, -1)}`, "there is no such setting");
    if (text !== "") values[setting.key] = valueOf(setting, text);
  }
  return check(nested(values), (key) => `$${nameOf(key, environmentName)}`);
}

function fromFlags(flags: Values): SettingsDocument {
  const values: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const given = flags[setting.key];
    if (given !== undefined) values[setting.key] = typeof given === "string" ? valueOf(setting, given) : given;
  }
  return check(nested(values), (key) => nameOf(key, ({ flag }) => flag.replace(/ .*$/, "")));
}

/** What a text means; where it means nothing, the text, which is then no value of the setting. */
function valueOf({ kind }: Setting, text: string): unknown {
  if (kind === "count" && /^\d{1,15}$/.test(text)) return Number(text);
  if (kind === "list") return text.split(/[\s,]+/).filter((item) => item !== "");
  if (kind === "switch") return /^(1|true|yes)$/i.test(text) || (/^(0|false|no)$/i.test(text) ? false : text);
  if (kind !== "json") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `{ "tls.cert": … }` as `{ tls: { cert: … } }`. */
function nested(values: Values): Values {
  const document: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const [outer = "", inner] = key.split(".");
    document[outer] = inner === undefined ? value : { ...(document[outer] as object), [inner]: value };
  }
  return document;
}

function nameOf(key: string, name: (setting: Setting) => string): string {
  const setting = SETTINGS.find((known) => known.key === key || key.startsWith(`${known.key}.`));
  return setting === undefined ? key : name(setting);
}

function check(value: unknown, sourceOf: (key: string) => string): SettingsDocument {
  const { data, error } = SettingsDocument.safeParse(value);
  if (data === undefined) {
    const [issue] = error.issues;
    const key = issue?.path.map(String).join(".") ?? "";
    throw invalid(sourceOf(key), issue?.message ?? error.message);
  }
  if (data.disk !== undefined) checkDisk(data.disk as DiskRequest, sourceOf("disk"));
  return data;
}

/** Options are each format's own. */
function checkDisk(disk: DiskRequest, source: string): void {
  try {
    canonicalOptions(disk);
  } catch (error) {
    if (!(error instanceof LamellaError)) throw error;
    throw invalid(source, error.message, error);
  }
}

function wholeTls(tls: SettingsDocument["tls"]): Settings["tls"] {
  if (tls?.cert === undefined && tls?.key === undefined) return undefined;
  if (tls.cert !== undefined && tls.key !== undefined) return { cert: tls.cert, key: tls.key };
  const missing = tls.cert === undefined ? "tls.cert" : "tls.key";
  throw new DaemonError("settings_invalid", `cannot use the settings: ${missing} is not given`);
}

function invalid(source: string, state: string, cause?: unknown): DaemonError {
  return new DaemonError("settings_invalid", `cannot use ${source}: ${state}`, { cause });
}
