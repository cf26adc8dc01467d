import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  anonymousCredentials,
  chainCredentials,
  type Credential,
  type CredentialTarget,
  defaultCredentials,
  defaultCredentialsPath,
  environmentCredentials,
  fileCredentials,
  staticCredentials,
} from "../src/index.js";
import { installHelper, pathTo } from "./helper-program.js";
import { failure } from "./registry-server.js";

const HUB: CredentialTarget = {
  registry: "docker.io",
  repository: "library/alpine",
  origin: "https://registry-1.docker.io",
};

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lamella-credentials-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

function targetOf(registry: string, repository = "a/b"): CredentialTarget {
  return { registry, repository, origin: `https://${registry}` };
}

function basic(username: string, password = "secret"): Credential {
  return { kind: "basic", username, password };
}

function auth(text: string): { auth: string } {
  return { auth: Buffer.from(text).toString("base64") };
}

async function write(document: unknown, name = "config.json"): Promise<string> {
  const path = join(directory, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, typeof document === "string" ? document : JSON.stringify(document));
  return path;
}

async function find(
  document: unknown,
  target: CredentialTarget,
  env: Record<string, string> = pathTo(directory),
): Promise<Credential | undefined> {
  return fileCredentials(await write(document), { env }).lookup(target);
}

describe("an entry of a credentials file", () => {
  it.each<[string, object, Credential | undefined]>([
    ["a name and a password in Base64", auth("ann:secret"), basic("ann")],
    ["a password with colons", auth("ann:a:b:"), basic("ann", "a:b:")],
    ["a name and a password in UTF-8", auth("änn:gehéim"), basic("änn", "gehéim")],
    ["padding by zeros", auth("ann:secret\0\0"), basic("ann")],
    ["a name and a password apart", { username: "ann", password: "secret" }, basic("ann")],
    ["a refresh token", { ...auth("ann:"), identitytoken: "refresh" }, { kind: "identity", token: "refresh" }],
    ["a refresh token as a password", auth("<token>:refresh"), { kind: "identity", token: "refresh" }],
    ["a registry's token", { ...auth("ann:x"), registrytoken: "t" }, { kind: "bearer", token: "t" }],
    ["unknown fields", { ...auth("ann:secret"), email: "x", later: { a: [1] } }, basic("ann")],
    ["nothing", {}, undefined],
    ["nulls", { auth: null, username: null, identitytoken: null }, undefined],
  ])("may hold %s", async (_, entry, credential) => {
    expect(await find({ auths: { "ghcr.io": entry }, psFormat: "x" }, targetOf("ghcr.io"))).toEqual(credential);
  });

  it.each<[string, unknown, string]>([
    ["a number for auth", { auths: { "ghcr.io": { auth: 1 } } }, 'auth at "ghcr.io" is not a string'],
    ["auth that is not Base64", { auths: { "ghcr.io": { auth: "!secret!" } } }, "not name:password"],
    ["auth without a colon", { auths: { "ghcr.io": auth("secret") } }, "not name:password"],
    ["auth without a name", { auths: { "ghcr.io": auth(":secret") } }, "not name:password"],
    ["an entry that is no object", { auths: { "ghcr.io": "secret" } }, "is not an object"],
    ["auths that is no object", { auths: ["secret"] }, "auths is not an object"],
    ["a helper that is no name", { credsStore: ["secret"] }, "credsStore is not a string"],
    ["a document that is no object", '"secret"', "it is not an object"],
    ["a document that is no JSON", 'secret {"auths"', "it is not JSON"],
  ])("is refused for %s, naming the file and no secret", async (_, document, state) => {
    const { inspect } = await import("node:util");
    const error: unknown = await find(document, targetOf("ghcr.io")).catch((thrown: unknown) => thrown);
    expect(error).toEqual(failure("credentials_invalid", state));
    expect(error).toEqual(failure("credentials_invalid", join(directory, "config.json")));
    expect(inspect(error, { depth: 10 })).not.toContain("secret");
  });

  it("with keys of the language is one like any other", async () => {
    const document =
      '{"__proto__":{"auths":{"ghcr.io":{"username":"evil"}}},"auths":{"__proto__":{"username":"evil"}}}';
    expect(await find(document, targetOf("ghcr.io"))).toBeUndefined();
    expect(await find(document, targetOf("__proto__"))).toEqual(basic("evil", ""));
  });
});

describe("the key of a credentials file", () => {
  it.each([
    ["https://index.docker.io/v1/", HUB],
    ["index.docker.io", HUB],
    ["docker.io", HUB],
    ["docker.io/library", HUB],
    ["https://ghcr.io", targetOf("ghcr.io")],
    ["https://ghcr.io/v2/", targetOf("ghcr.io")],
    ["ghcr.io/v1/", targetOf("ghcr.io")],
    ["GHCR.io", targetOf("ghcr.io")],
    ["ghcr.io:443", targetOf("ghcr.io")],
    ["localhost:5000", { registry: "localhost:5000", repository: "x", origin: "http://localhost:5000" }],
    ["http://localhost:5000", { registry: "localhost:5000", repository: "x", origin: "http://localhost:5000" }],
    ["[::1]:5000", { registry: "[::1]:5000", repository: "x", origin: "http://[::1]:5000" }],
    ["quay.io/a", targetOf("quay.io", "a/b")],
    ["quay.io/a/b", targetOf("quay.io", "a/b")],
  ])("%s is for %o", async (key, target) => {
    expect(await find({ auths: { [key]: auth("ann:secret") } }, target)).toEqual(basic("ann"));
  });

  it.each([
    ["ghcr.io:5000", targetOf("ghcr.io")],
    ["ghcr.io", targetOf("ghcr.io:5000")],
    ["ghcr.io", targetOf("x.ghcr.io")],
    ["x.ghcr.io", targetOf("ghcr.io")],
    ["ghcr.io", targetOf("ghcr.io.evil.test")],
    ["https://plain.test", { registry: "plain.test", repository: "x", origin: "http://plain.test" }],
    ["http://plain.test", targetOf("plain.test")],
    ["plain.test:443", { registry: "plain.test", repository: "x", origin: "http://plain.test" }],
    ["quay.io/a", targetOf("quay.io", "ab/c")],
    ["quay.io/a/b/c", targetOf("quay.io", "a/b")],
    ["user@ghcr.io", targetOf("ghcr.io")],
    ["", targetOf("ghcr.io")],
  ])("%s is not for %o", async (key, target) => {
    expect(await find({ auths: { [key]: auth("ann:secret") } }, target)).toBeUndefined();
  });

  it("that says most wins, and among equals the one without a scheme", async () => {
    const auths = {
      "https://quay.io/v1/": auth("old:secret"),
      "quay.io": auth("host:secret"),
      "quay.io/team": auth("team:secret"),
      "quay.io/team/app": auth("app:secret"),
      "quay.io/team/empty": {},
    };
    const names = ["x/y", "team", "team/other", "team/app", "team/app/deep", "team/apple", "team/empty"];
    const found = await Promise.all(
      names.map(async (name) => ((await find({ auths }, targetOf("quay.io", name))) as { username: string }).username),
    );
    expect(found).toEqual(["host", "team", "team", "app", "app", "team", "team"]);
  });
});

describe("a credentials file", () => {
  it("that is not there counts as empty, unless it must be there", async () => {
    const path = join(directory, "none", "config.json");
    expect(await fileCredentials(path).lookup(HUB)).toBeUndefined();
    await expect(fileCredentials(path, { isRequired: true }).lookup(HUB)).rejects.toThrow(
      failure("credentials_invalid", "there is no such file"),
    );
  });

  it("is read anew each time, and may be empty", async () => {
    const credentials = fileCredentials(await write(" \n"));
    expect(await credentials.lookup(HUB)).toBeUndefined();
    await write({ auths: { "docker.io": auth("ann:secret") } });
    expect(await credentials.lookup(HUB)).toEqual(basic("ann"));
  });

  it("may be a link to one", async () => {
    const path = join(directory, "link.json");
    await symlink(await write({ auths: { "docker.io": auth("ann:secret") } }), path);
    expect(await fileCredentials(path).lookup(HUB)).toEqual(basic("ann"));
  });

  it("is refused when it is a directory, a FIFO or over 1 MiB", async () => {
    await expect(fileCredentials(directory).lookup(HUB)).rejects.toThrow(
      failure("credentials_invalid", "regular file"),
    );
    const fifo = join(directory, "fifo");
    await promisify(execFile)("mkfifo", [fifo]);
    await expect(fileCredentials(fifo).lookup(HUB)).rejects.toThrow(failure("credentials_invalid", "regular file"));
    await expect(find(`{}${" ".repeat(1024 * 1024)}`, HUB)).rejects.toThrow(failure("too_large", "1048576"));
  });
});

describe("a helper that a credentials file names", () => {
  beforeEach(async () => {
    await installHelper(directory, "safe");
    const kept = { "https://index.docker.io/v1/": ["hub", "s"], "ghcr.io": ["<token>", "refresh"] };
    for (const [server, [Username, Secret]] of Object.entries(kept)) {
      await write({ ServerURL: server, Username, Secret }, `${encodeURIComponent(server)}.json`);
    }
  });

  it("is asked for all registries, for Docker Hub by its old name", async () => {
    const document = { credsStore: "safe", auths: { "https://index.docker.io/v1/": {} } };
    expect(await find(document, HUB)).toEqual(basic("hub", "s"));
    expect(await find(document, targetOf("ghcr.io"))).toEqual({ kind: "identity", token: "refresh" });
  });

  it("leaves the word to the file when it holds nothing", async () => {
    const document = { credsStore: "safe", auths: { "quay.io": auth("ann:secret") } };
    expect(await find(document, targetOf("quay.io"))).toEqual(basic("ann"));
    expect(await find(document, targetOf("other.test"))).toBeUndefined();
  });

  it("for one registry goes before the one for all, and an empty name means none", async () => {
    const document = { credsStore: "missing", credHelpers: { "ghcr.io": "safe", "quay.io": "" } };
    expect(await find(document, targetOf("ghcr.io"))).toEqual({ kind: "identity", token: "refresh" });
    expect(await find({ ...document, auths: { "quay.io": auth("ann:secret") } }, targetOf("quay.io"))).toEqual(
      basic("ann"),
    );
    await expect(find(document, targetOf("other.test"))).rejects.toThrow(failure("helper_failed", "no such program"));
  });
});

describe("defaultCredentials()", () => {
  it("takes the environment before files, for the named registry alone", async () => {
    await write({ auths: { "ghcr.io": auth("file:secret"), "quay.io": auth("file:secret") } }, ".docker/config.json");
    const env = {
      HOME: directory,
      LAMELLA_REGISTRY_HOST: "ghcr.io",
      LAMELLA_REGISTRY_USERNAME: "env",
      LAMELLA_REGISTRY_PASSWORD: "secret",
    };
    const credentials = defaultCredentials(env);
    expect(await credentials.lookup(targetOf("ghcr.io"))).toEqual(basic("env"));
    expect(await credentials.lookup(targetOf("quay.io"))).toEqual(basic("file"));
  });

  it("finds the first of the usual files that has a credential", async () => {
    const env = { HOME: directory, XDG_RUNTIME_DIR: join(directory, "run") };
    const files = [".config/containers/auth.json", "run/containers/auth.json", ".docker/config.json"];
    const found = [];
    for (const name of files) {
      await write({ auths: { "ghcr.io": auth(`${name}:secret`) } }, name);
      found.push(await defaultCredentials(env).lookup(targetOf("ghcr.io")));
    }
    expect(found).toEqual(files.map((name) => basic(name)));
    const moved = { ...env, XDG_CONFIG_HOME: join(directory, "xdg") };
    await write({ auths: { "quay.io": auth("xdg:secret") } }, "xdg/containers/auth.json");
    expect(await defaultCredentials(moved).lookup(targetOf("quay.io"))).toEqual(basic("xdg"));
  });

  it("reads the file that a variable names, and no other", async () => {
    await write({ auths: { "ghcr.io": auth("home:secret"), "quay.io": auth("home:secret") } }, ".docker/config.json");
    await write({ auths: { "ghcr.io": auth("docker:secret") } }, "docker/config.json");
    const named = await write({ auths: { "ghcr.io": auth("named:secret") } }, "auth.json");
    const docker = { HOME: directory, DOCKER_CONFIG: join(directory, "docker") };
    const both = { ...docker, REGISTRY_AUTH_FILE: named };
    const [target, other] = [targetOf("ghcr.io"), targetOf("quay.io")];
    expect(await defaultCredentials(docker).lookup(target)).toEqual(basic("docker"));
    expect(await defaultCredentials(docker).lookup(other)).toBeUndefined();
    expect(await defaultCredentials(both).lookup(target)).toEqual(basic("named"));
    expect(await defaultCredentials(both).lookup(other)).toBeUndefined();
    const wrong = { ...both, REGISTRY_AUTH_FILE: `${named}.wrong` };
    await expect(defaultCredentials(wrong).lookup(target)).rejects.toThrow(
      failure("credentials_invalid", "no such file"),
    );
  });

  it("is written where it is read first", () => {
    const docker = { HOME: "/h", DOCKER_CONFIG: "/d" };
    expect(defaultCredentialsPath({ HOME: "/h" })).toBe("/h/.docker/config.json");
    expect(defaultCredentialsPath(docker)).toBe("/d/config.json");
    expect(defaultCredentialsPath({ ...docker, REGISTRY_AUTH_FILE: "/a.json" })).toBe("/a.json");
  });
});

describe("environmentCredentials()", () => {
  it.each([
    { LAMELLA_REGISTRY_PASSWORD: "secret" },
    { LAMELLA_REGISTRY_USERNAME: "ann", LAMELLA_REGISTRY_PASSWORD: "secret" },
    { LAMELLA_REGISTRY_HOST: "ghcr.io", LAMELLA_REGISTRY_USERNAME: "ann" },
    { LAMELLA_REGISTRY_HOST: "ghcr.io", LAMELLA_REGISTRY_PASSWORD: "secret" },
  ])("refuses a part of a credential: %j", async (env) => {
    await expect(environmentCredentials(env).lookup(targetOf("ghcr.io"))).rejects.toThrow(
      failure("credentials_invalid", "go together"),
    );
  });

  it("has none when nothing is set, and knows Docker Hub by any name", async () => {
    expect(
      await environmentCredentials({ LAMELLA_REGISTRY_HOST: "ghcr.io" }).lookup(targetOf("ghcr.io")),
    ).toBeUndefined();
    const env = {
      LAMELLA_REGISTRY_HOST: "docker.io",
      LAMELLA_REGISTRY_USERNAME: "ann",
      LAMELLA_REGISTRY_PASSWORD: "secret",
    };
    expect(await environmentCredentials(env).lookup(HUB)).toEqual(basic("ann"));
  });
});

describe("credentials", () => {
  it("in a chain come from the first that has one", async () => {
    const chain = chainCredentials([
      anonymousCredentials(),
      staticCredentials({ "ghcr.io": basic("first"), "ghcr.io/team": basic("team") }),
      staticCredentials({ "ghcr.io": basic("second"), "quay.io": basic("second") }),
    ]);
    expect(await chain.lookup(targetOf("ghcr.io"))).toEqual(basic("first"));
    expect(await chain.lookup(targetOf("ghcr.io", "team/app"))).toEqual(basic("team"));
    expect(await chain.lookup(targetOf("quay.io"))).toEqual(basic("second"));
    expect(await chain.lookup(HUB)).toBeUndefined();
  });

  it.each([
    ["anonymous", () => anonymousCredentials()],
    ["static", () => staticCredentials({})],
    ["in a chain", () => chainCredentials([])],
    ["of the environment", () => environmentCredentials({})],
    ["of a file", () => fileCredentials("/none")],
  ])("%s are not looked up once the caller has aborted", async (_, create) => {
    await expect(create().lookup(HUB, { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
  });
});
