import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startRegistry as startLamellad } from "@lamella/demo/sample";
import { staticCredentials } from "@lamella/oci-client";
import type { RegistryClientOptions } from "@lamella/oci-client";

import { createAuthority } from "./certificate-authority.js";
import { startDockerRegistry } from "./docker-registry.js";
import type { DockerRegistryOptions } from "./docker-registry.js";
import { startGuardedRegistry } from "./guarded-registry.js";
import { startTokenServer } from "./token-server.js";

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** A registry that runs, and how each client gets in. */
export interface RealRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  readonly client: RegistryClientOptions;
  /** Ways in that a guarded one must refuse, and the code for that. */
  readonly refused: Readonly<Record<string, { options: RegistryClientOptions; code: string }>>;
  /** What it has answered, as `METHOD /path STATUS`, if it tells. */
  readonly requests?: readonly string[] | undefined;
  /** Flags of skopeo for a registry that is read from, `src-`, or written to, `dest-`; of buildah with neither. */
  skopeo(this: void, side: "src-" | "dest-" | ""): string[];
  readonly ctr: readonly string[];
  /** A directory of `HOST/hosts.toml` that tells how to reach it by HTTPS, by its address and as the host {@link ALIAS}. */
  readonly hosts?: string;
}

export interface RealRegistryKind {
  readonly title: string;
  readonly needs: readonly string[];
  readonly deletesBlobs: boolean;
  /** Whether it lists referrers itself, or leaves that to clients and a tag. */
  readonly listsReferrers: boolean;
  /** What it asks of clients. */
  readonly guard: "none" | "password" | "token" | "certificate";
  /** Who may do everything, where it asks for a name. */
  readonly login?: Login;
  /** Who may only pull. */
  readonly reader?: Login;
  start(directory: string): Promise<RealRegistry>;
}

/** A name that is no machine's. */
export const ALIAS = "registry.test";

const LOGIN: Login = { username: "keeper", password: "swordfish-7" };
const READER: Login = { username: "reader", password: "only-looking-5" };
/** LOGIN, with bcrypt's lowest cost: the registry computes it for each request. */
const HTPASSWD = "keeper:$2y$05$abcdefghijklmnopqrstuuHDPp2XEPjWQeq3xsQA/2pda6U5paqm2";
const [SERVICE, ISSUER] = ["the test's registry", "the test's token server"];

export const realRegistries: readonly RealRegistryKind[] = [
  {
    title: "docker-registry for everybody",
    needs: ["docker-registry"],
    deletesBlobs: true,
    listsReferrers: false,
    guard: "none",
    start: async (directory) => openDockerRegistry({ directory }),
  },
  {
    title: "docker-registry with passwords",
    needs: ["docker-registry"],
    deletesBlobs: true,
    listsReferrers: false,
    guard: "password",
    login: LOGIN,
    start: async (directory) => openDockerRegistry({ directory, htpasswd: HTPASSWD }, LOGIN),
  },
  {
    title: "docker-registry with tokens",
    needs: ["docker-registry", "openssl"],
    deletesBlobs: true,
    listsReferrers: false,
    guard: "token",
    login: LOGIN,
    reader: READER,
    start: startWithTokens,
  },
  {
    title: "docker-registry with client certificates",
    needs: ["docker-registry", "openssl"],
    deletesBlobs: true,
    listsReferrers: false,
    guard: "certificate",
    start: startWithCertificates,
  },
  {
    title: "lamellad",
    needs: [],
    deletesBlobs: false,
    listsReferrers: true,
    guard: "none",
    async start(directory) {
      const daemon = await startLamellad(directory);
      const { address } = daemon;
      return {
        ...plain(),
        address,
        client: {},
        refused: {},
        [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
      };
    },
  },
  {
    title: "our registry with tokens",
    needs: [],
    deletesBlobs: true,
    listsReferrers: true,
    guard: "token",
    login: LOGIN,
    reader: READER,
    async start() {
      const registry = await startGuardedRegistry([LOGIN, { ...READER, actions: ["pull"] }]);
      const { address, requests } = registry;
      const close = (): PromiseLike<void> => registry[Symbol.asyncDispose]();
      return { ...loggedIn(address, LOGIN), address, requests, [Symbol.asyncDispose]: close };
    },
  },
];

/** The options of a client that logs in. */
export function withLogin(address: string, login: Login): RegistryClientOptions {
  return { credentials: staticCredentials({ [address]: { kind: "basic", ...login } }) };
}

async function openDockerRegistry(options: DockerRegistryOptions, login?: Login): Promise<RealRegistry> {
  const registry = await startDockerRegistry(options);
  const { address, requests } = registry;
  const ways = login === undefined ? { ...plain(), client: {}, refused: {} } : loggedIn(address, login);
  return { ...ways, address, requests, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
}

/** How each client gets in with a name and a password, and how it does not. */
function loggedIn(address: string, login: Login): Pick<RealRegistry, "skopeo" | "ctr" | "client" | "refused"> {
  const wrong = withLogin(address, { ...login, password: "swordfish-8" });
  return {
    ...plain(login),
    client: withLogin(address, login),
    refused: {
      "without a password": { options: {}, code: "unauthorized" },
      "with a wrong password": { options: wrong, code: "unauthorized" },
    },
  };
}

function plain(login?: Login): Pick<RealRegistry, "skopeo" | "ctr"> {
  const pair = login === undefined ? [] : [`${login.username}:${login.password}`];
  return {
    skopeo: (side) => [`--${side}tls-verify=false`, ...pair.flatMap((value) => [`--${side}creds`, value])],
    ctr: ["--plain-http", ...pair.flatMap((value) => ["--user", value])],
  };
}

async function startWithTokens(directory: string): Promise<RealRegistry> {
  mkdirSync(directory);
  const authority = await createAuthority(directory);
  const signer = await authority.issue("signer", "keyUsage=digitalSignature");
  const passwords = new Map([LOGIN, READER].map(({ username, password }) => [username, password]));
  const readers = new Set([READER.username]);
  const server = await startTokenServer({ signer, issuer: ISSUER, passwords, readers });
  try {
    const token = { realm: server.realm, service: SERVICE, issuer: ISSUER, roots: authority.certFile };
    const registry = await openDockerRegistry({ directory, token }, LOGIN);
    const close = async (): Promise<void> => {
      await registry[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    };
    return { ...registry, [Symbol.asyncDispose]: close };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

async function startWithCertificates(directory: string): Promise<RealRegistry> {
  mkdirSync(directory);
  const authority = await createAuthority(directory);
  const server = await authority.issue("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth");
  const { cert, key, certFile, keyFile } = await authority.issue("client", "extendedKeyUsage=clientAuth");
  const registry = await startDockerRegistry({ directory, tls: { server, clientCa: authority.certFile } });
  const { address, requests } = registry;
  // the names that skopeo and buildah look for
  const certificates = join(directory, "certs.d");
  mkdirSync(certificates);
  copyFileSync(authority.certFile, join(certificates, "ca.crt"));
  copyFileSync(certFile, join(certificates, "client.cert"));
  copyFileSync(keyFile, join(certificates, "client.key"));
  const hosts = join(directory, "hosts");
  for (const host of [address, ALIAS]) {
    const lines = [
      `[host."https://${address}"]`,
      `ca = "${authority.certFile}"`,
      `client = [["${certFile}", "${keyFile}"]]`,
    ];
    mkdirSync(join(hosts, host), { recursive: true });
    writeFileSync(join(hosts, host, "hosts.toml"), `server = "https://${address}"\n${lines.join("\n")}\n`);
  }
  // this machine is asked over plain HTTP unless told otherwise
  const encrypted = { plainHttp: () => false, retry: { attempts: 1 } };
  const ca = authority.cert;
  return {
    address,
    requests,
    client: { ...encrypted, tls: () => ({ ca, cert, key }) },
    refused: {
      "without a certificate": { options: { ...encrypted, tls: () => ({ ca }) }, code: "network" },
      "without knowing its authority": { options: { ...encrypted, tls: () => ({ cert, key }) }, code: "network" },
    },
    skopeo: (side) => [`--${side}cert-dir`, certificates],
    ctr: ["--hosts-dir", hosts],
    hosts,
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}
