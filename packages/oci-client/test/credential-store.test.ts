import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Credential, eraseCredential, fileCredentials, storeCredential } from "../src/index.js";
import { writeDockerConfig } from "../src/docker-config-file.js";
import { installHelper, pathTo } from "./helper-program.js";
import { failure } from "./registry-server.js";

const ANN = { kind: "basic", username: "ann", password: "secret" } as const;
const HUB_KEY = "https://index.docker.io/v1/";

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lamella-store-"));
  path = join(directory, "docker", "config.json");
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function seed(document: unknown): Promise<void> {
  await mkdir(join(directory, "docker"));
  await writeFile(path, typeof document === "string" ? document : JSON.stringify(document), { mode: 0o644 });
}

async function read(): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
}

async function lookup(registry: string, repository = "a/b"): Promise<Credential | undefined> {
  return fileCredentials(path, { env: pathTo(directory) }).lookup({
    registry,
    repository,
    origin: `https://${registry}`,
  });
}

describe("storeCredential()", () => {
  it("makes the file and its directory for the owner only", async () => {
    await storeCredential("ghcr.io", ANN, { path });
    expect(await read()).toEqual({ auths: { "ghcr.io": { auth: Buffer.from("ann:secret").toString("base64") } } });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, "docker"))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(directory, "docker"))).toEqual(["config.json"]);
  });

  it("keeps all else that the file holds and takes others' rights away", async () => {
    const other = { auth: "eDp5", email: "x@y" };
    await seed(`{"auths":{"quay.io":${JSON.stringify(other)}},"proxies":{"a":[1,null]},"__proto__":{"b":1}}`);
    await storeCredential("ghcr.io", ANN, { path });
    const text = await readFile(path, "utf8");
    expect(await read()).toMatchObject({ auths: { "quay.io": other }, proxies: { a: [1, null] } });
    expect(text).toContain('"__proto__"');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("replaces what is kept for the registry under any of its names", async () => {
    await seed({ auths: { "docker.io": {}, "index.docker.io": {}, "docker.io/team": { auth: "eDp5" } } });
    await storeCredential("docker.io", ANN, { path });
    expect(Object.keys((await read())["auths"] as object)).toEqual(["docker.io/team", HUB_KEY]);
    expect(await lookup("docker.io")).toEqual(ANN);
  });

  it("keeps one for a path beside the one for the registry", async () => {
    await storeCredential("quay.io", ANN, { path });
    await storeCredential("quay.io/team", { ...ANN, username: "bob" }, { path });
    expect(await lookup("quay.io")).toEqual(ANN);
    expect(await lookup("quay.io", "team/app")).toEqual({ ...ANN, username: "bob" });
  });

  it("gives back what it was given", async () => {
    const text = fc.string({ minLength: 1, unit: "grapheme" });
    const name = text.filter((value) => !value.includes(":") && value !== "<token>");
    const credential = fc.oneof(
      fc.record({
        kind: fc.constant("basic" as const),
        username: name,
        password: text.filter((value) => !value.endsWith("\0")),
      }),
      fc.record({ kind: fc.constantFrom("identity" as const, "bearer" as const), token: text }),
    );
    await fc.assert(
      fc.asyncProperty(credential, async (value) => {
        await storeCredential("ghcr.io", value, { path });
        expect(await lookup("ghcr.io")).toEqual(value);
      }),
      { numRuns: 40 },
    );
  });

  it("writes through a link", async () => {
    await mkdir(join(directory, "docker"));
    await writeFile(join(directory, "real.json"), "{}");
    await symlink("../real.json", path);
    await storeCredential("ghcr.io", ANN, { path });
    expect(await readFile(join(directory, "real.json"), "utf8")).toContain("ghcr.io");
    expect(await lookup("ghcr.io")).toEqual(ANN);
  });

  it("leaves the secret to the helper that the file names", async () => {
    await installHelper(directory, "safe");
    await seed({ credsStore: "safe" });
    const env = pathTo(directory);
    await storeCredential("docker.io", ANN, { path, env });
    expect(await read()).toEqual({ credsStore: "safe", auths: { [HUB_KEY]: {} } });
    expect(await lookup("docker.io")).toEqual(ANN);
    expect(await eraseCredential("docker.io", { path, env })).toBe(true);
    expect(await read()).toEqual({ credsStore: "safe", auths: {} });
    expect(await lookup("docker.io")).toBeUndefined();
  });

  it("gives it to a helper that is named, and touches no file", async () => {
    await installHelper(directory, "safe");
    const place = { helper: "safe", env: pathTo(directory) };
    await storeCredential("docker.io", ANN, place);
    await eraseCredential("docker.io", place);
    expect(await readFile(join(directory, "log"), "utf8")).toBe(`store ${HUB_KEY}\nerase ${HUB_KEY}\n`);
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  it.each(["", "a b", "user@host", "https://[", "a:b:c"])("refuses the registry %j", async (registry) => {
    await expect(storeCredential(registry, ANN, { path })).rejects.toThrow(failure("address_invalid"));
  });

  it("refuses a name that the file cannot hold, and leaves a broken file as it is", async () => {
    await expect(storeCredential("ghcr.io", { ...ANN, username: "a:b" }, { path })).rejects.toThrow(
      failure("credentials_invalid"),
    );
    await seed("{broken");
    await expect(storeCredential("ghcr.io", ANN, { path })).rejects.toThrow(failure("credentials_invalid", "not JSON"));
    expect(await readFile(path, "utf8")).toBe("{broken");
  });

  it("leaves nothing behind when it cannot write", async () => {
    await writeFile(join(directory, "docker"), "");
    await expect(storeCredential("ghcr.io", ANN, { path })).rejects.toThrow(
      failure("credentials_invalid", "cannot write credentials"),
    );
    expect(await readdir(directory)).toEqual(["docker"]);
    const config = { path: join(directory, "taken"), fields: new Map() };
    await mkdir(config.path);
    await expect(writeDockerConfig(config, {})).rejects.toThrow(
      failure("credentials_invalid", "cannot write credentials"),
    );
    expect(await readdir(directory)).toEqual(["docker", "taken"]);
  });

  it("does nothing for a caller that has aborted", async () => {
    const signal = AbortSignal.abort("enough");
    await expect(storeCredential("ghcr.io", ANN, { path, signal })).rejects.toBe("enough");
    await expect(eraseCredential("ghcr.io", { path, signal })).rejects.toBe("enough");
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("eraseCredential()", () => {
  it("forgets the registry under any of its names and nothing else", async () => {
    await seed({ auths: { "https://ghcr.io/v1/": {}, "ghcr.io": { auth: "eDp5" }, "quay.io": {} }, later: 1 });
    expect(await eraseCredential("ghcr.io", { path })).toBe(true);
    expect(await read()).toEqual({ auths: { "quay.io": {} }, later: 1 });
  });

  it("says when there was nothing, and makes no file for it", async () => {
    expect(await eraseCredential("ghcr.io", { path })).toBe(false);
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });
});
