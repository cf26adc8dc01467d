import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { readSettings } from "../src/read-settings.js";
import type { Settings } from "../src/read-settings.js";
import { environmentName, SETTINGS } from "../src/settings.js";
import { temporaryDirectory } from "./fixture.js";

const HOME = { HOME: "/nonexistent", XDG_RUNTIME_DIR: "/run/user/7" };

interface Sources {
  readonly file?: unknown;
  readonly environment?: Record<string, string>;
  readonly flags?: Record<string, unknown>;
}

async function read({ file, environment = {}, flags = {} }: Sources): Promise<Settings> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "a.json");
  if (file !== undefined) await writeFile(path, typeof file === "string" ? file : JSON.stringify(file));
  const named = file === undefined ? undefined : path;
  const sources = { environment: { ...HOME, ...environment }, flags, file: named, uid: 1000, isActivated: false };
  return await readSettings(sources);
}

/** For each setting a value of the file, one of the environment and one of a flag, as they end up. */
const VALUES: Readonly<Record<string, readonly [unknown, unknown, unknown]>> = {
  root: ["/f", "/e", "/a"],
  listen: [["unix:/f"], ["unix:/e", "127.0.0.1:1"], ["unix:/a"]],
  tokenFile: ["/f", "/e", "/a"],
  noToken: [true, false, true],
  builds: [1, 3, 4],
  layers: [1, 2, 4],
  "quotas.maxBytes": [1, 2, 3],
  "quotas.minFreeBytes": [1, 2, 3],
  disk: [{ format: "cpio" }, { format: "erofs", compression: "lz4" }, { format: "ext4", journal: true }],
  platform: ["linux/arm64", "linux/amd64", "linux/arm/v7"],
  snapshotDriver: ["directory", "overlay", "erofs"],
  logLevel: ["debug", "warn", "error"],
  plainHttp: [["f"], ["e:1", "e:2"], ["a"]],
  hostsDir: ["/f", "/e", "/a"],
  metrics: [false, true, false],
};

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function at(settings: unknown, key: string): unknown {
  return key.split(".").reduce((value, name) => (value as Record<string, unknown>)[name], settings);
}

function nested(key: string, value: unknown): object {
  const [outer = "", inner] = key.split(".");
  return { [outer]: inner === undefined ? value : { [inner]: value } };
}

describe("readSettings()", () => {
  it("has a value for everything when nothing is said", async () => {
    const settings = await read({});
    expect(settings).toMatchObject({
      root: "/nonexistent/.local/share/lamella",
      listen: ["unix:/run/user/7/lamella/lamellad.sock"],
      noToken: false,
      builds: 2,
      layers: 3,
      disk: { format: "ext4" },
      snapshotDriver: "tree",
      logLevel: "info",
      hostsDir: "/nonexistent/.config/lamella/certs.d",
      metrics: true,
    });
    expect(settings.platform).toMatch(/^linux\//);
  });

  it.each(Object.keys(VALUES))("hears for %s a flag before the environment, and that before the file", async (key) => {
    const setting = SETTINGS.find((known) => known.key === key)!;
    const [inFile, inEnvironment, inFlag] = VALUES[key] ?? [];
    const file = nested(key, inFile);
    const environment = { [environmentName(setting)]: textOf(inEnvironment) };
    const flag = typeof inFlag === "boolean" ? inFlag : textOf(inFlag);
    expect(at(await read({ file }), key)).toEqual(inFile);
    expect(at(await read({ file, environment }), key)).toEqual(inEnvironment);
    expect(at(await read({ file, environment, flags: { [key]: flag } }), key)).toEqual(inFlag);
  });

  it("knows values for all settings but TLS, whose two halves may come from anywhere", async () => {
    const all = SETTINGS.map(({ key }) => key).filter((key) => !key.startsWith("tls."));
    expect(all.toSorted()).toEqual(Object.keys(VALUES).toSorted());
    const { tls } = await read({ file: { tls: { cert: "/c" } }, environment: { LAMELLAD_TLS_KEY: "/k" } });
    expect(tls).toEqual({ cert: "/c", key: "/k" });
    await expect(read({ file: { tls: { cert: "/c" } } })).rejects.toThrow("tls.key is not given");
  });

  it.each([
    [{ quotas: { maxBytes: "10G", minFreeBytes: 0 } }, { maxBytes: 10 * 2 ** 30, minFreeBytes: 0 }],
    [{ quotas: { maxBytes: "4096" } }, { maxBytes: 4096 }],
  ])("reads %j", async (file, quotas) => {
    expect((await read({ file })).quotas).toEqual(quotas);
  });

  it.each([
    [{ file: { build: 3 } }, /^cannot use .*a\.json: .*"build"/],
    [{ file: { quotas: { maxbytes: 3 } } }, /^cannot use .*a\.json: quotas: .*"maxbytes"/],
    [{ file: { builds: "three" } }, /^cannot use .*a\.json: builds: /],
    [{ file: { builds: 0 } }, /^cannot use .*a\.json: builds: .*>=1/],
    [{ file: { quotas: { maxBytes: "10 apples" } } }, /^cannot use .*a\.json: quotas\.maxBytes: /],
    [{ file: { disk: { format: "cpio", journal: true } } }, /^cannot use .*a\.json: disk: .*"journal" for cpio/],
    [{ file: { listen: [] } }, /^cannot use .*a\.json: listen: /],
    [{ file: "{ 'token' " }, /^cannot use .*a\.json: it is no JSON$/],
    [{ file: "[]" }, /^cannot use .*a\.json: /],
    [{ environment: { LAMELLAD_BUILD: "3" } }, /^cannot use \$LAMELLAD_BUILD: there is no such setting$/],
    [{ environment: { LAMELLAD_BUILDS: "many" } }, /^cannot use \$LAMELLAD_BUILDS: /],
    [{ environment: { LAMELLAD_MAX_BYTES: "-1" } }, /^cannot use \$LAMELLAD_MAX_BYTES: /],
    [{ environment: { LAMELLAD_DISK: "ext4" } }, /^cannot use \$LAMELLAD_DISK: /],
    [{ environment: { LAMELLAD_DISK: '{"format":"ext5"}' } }, /^cannot use \$LAMELLAD_DISK: /],
    [{ environment: { LAMELLAD_METRICS: "perhaps" } }, /^cannot use \$LAMELLAD_METRICS: /],
    [{ flags: { platform: "linux" } }, /^cannot use --platform: /],
    [{ flags: { "quotas.minFreeBytes": "much" } }, /^cannot use --min-free-bytes: /],
    [{ flags: { logLevel: "loud" } }, /^cannot use --log-level: /],
  ] as const)("refuses %j, naming the source", async (sources, message) => {
    const reading = read(sources);
    await expect(reading).rejects.toMatchObject({ code: "settings_invalid" });
    await expect(reading).rejects.toThrow(message);
  });

  it("wants a file that is named to be there, and reads the default one if it is", async () => {
    await using directory = await temporaryDirectory();
    const environment = { ...HOME, XDG_CONFIG_HOME: directory.path };
    const sources = { environment, flags: {}, uid: 1000, isActivated: false };
    const missing = readSettings({ ...sources, file: join(directory.path, "none.json") });
    await expect(missing).rejects.toMatchObject({ code: "settings_invalid" });
    expect((await readSettings(sources)).builds).toBe(2);
    const config = join(directory.path, "other.json");
    await writeFile(config, '{"builds":5}');
    const named = { ...sources, environment: { ...environment, LAMELLAD_CONFIG: config } };
    expect((await readSettings(named)).builds).toBe(5);
  });

  it("listens nowhere else when it is given sockets", async () => {
    const sources = { environment: { HOME: "/nonexistent" }, flags: {}, uid: 1000, isActivated: true };
    expect((await readSettings(sources)).listen).toEqual([]);
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    const reading = readSettings({ environment: HOME, flags: {}, uid: 1000, isActivated: false, signal });
    await expect(reading).rejects.toBe(signal.reason);
  });
});

describe("lamellad's README", () => {
  it("has all settings in its table, and no other", async () => {
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const rows = [
      ...readme.matchAll(/^\| `(--[^`]+)` +\| `([^`]+)` +\| `(\$LAMELLAD_[A-Z_]+)` +\| (.*?) +\| (.*?) +\|$/gm),
    ];
    const documented = rows.map(([, ...cells]) => cells);
    const escaped = (text: string): string => text.replaceAll("|", String.raw`\|`);
    expect(documented).toEqual(
      SETTINGS.map((setting) => [
        escaped(setting.flag),
        setting.key,
        `$${environmentName(setting)}`,
        escaped(setting.what),
        escaped(setting.otherwise),
      ]),
    );
  });
});
