import type { Descriptor } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createRegistryClient, type RegistryClientOptions, type Repository } from "../src/index.js";
import { type FaultProxy, startFaultProxy } from "../src/testing.js";
import { failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

const FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const ABSENT = { path: /blobs/, action: { kind: "answer", status: 404 } } as const;

let registry: TestRegistry;
/** Wants a token, and has no blobs. */
let empty: FaultProxy;
/** Where the layers are. */
let elsewhere: FaultProxy;
let layer: Descriptor;
const content = pseudoRandom(300_000);
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  registry = await startRegistry();
  empty = await startFaultProxy({ upstream: registry.url, tokenUses: 100, faults: [ABSENT] });
  elsewhere = await startFaultProxy({ upstream: registry.url });
  layer = registry.addBlob(content, FOREIGN);
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await Promise.all([empty.close(), elsewhere.close()]);
  await registry[Symbol.asyncDispose]();
});

function open(options: RegistryClientOptions = {}): Repository {
  const client = createRegistryClient({ retry: { attempts: 3, baseMs: 1, capMs: 5 }, ...options });
  closing.push(() => client.close());
  return client.repository({ domain: empty.host, path: PATH });
}

const at = (...urls: string[]): Descriptor => ({ ...layer, urls });
const address = (): string => `${elsewhere.url}/v2/${PATH}/blobs/${layer.digest}`;

describe("a foreign layer that the registry lacks", () => {
  it("is not looked for elsewhere unasked", async () => {
    await expect(readAll(open().fetch(at(address())))).rejects.toThrow(failure("not_found"));
    expect(elsewhere.requests).toEqual([]);
  });

  it("is read from its own address when asked, without a credential", async () => {
    const repository = open({ foreignUrls: true });
    expect(await readAll(repository.fetch(at(address())))).toEqual(content);
    expect(empty.requests.at(-1)?.headers.authorization).toBe("Bearer token-0");
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it("sends no credential even to the registry's own origin", async () => {
    const own = `${empty.url}/files/layer`;
    await expect(readAll(open({ foreignUrls: true }).fetch(at(own)))).rejects.toThrow();
    const asked = empty.requests.filter(({ path }) => path === "/files/layer");
    expect(asked.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it("is taken up again where its own address breaks off, and tried at the next one", async () => {
    elsewhere.setFaults([{ times: 1, action: { kind: "reset", afterBytes: 100_000 } }]);
    const repository = open({ foreignUrls: true });
    const urls = at("no address", `${elsewhere.url}/v2/${PATH}/blobs/nothing`, address());
    expect(await readAll(repository.fetch(urls))).toEqual(content);
    expect(elsewhere.requests.map(({ path }) => path.endsWith("/nothing"))).toContain(true);
  });

  it("is refused when it is not what the descriptor promises", async () => {
    elsewhere.setFaults([{ action: { kind: "corrupt", atByte: 5 } }]);
    await expect(readAll(open({ foreignUrls: true }).fetch(at(address())))).rejects.toThrow(failure("digest_mismatch"));
  });

  it.each([
    "http://169.254.169.254/layer",
    "http://[fe80::1]/layer",
    "file:///etc/passwd",
    "http://u:p@127.0.0.1/layer",
  ])("is not looked for at %s", async (url) => {
    const repository = open({ foreignUrls: true, plainHttp: () => true });
    await expect(readAll(repository.fetch(at(url)))).rejects.toThrow(failure("redirect_refused"));
  });
});

it("the urls of a layer that is not foreign are never asked", async () => {
  const plain = { ...at(address()), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" };
  await expect(readAll(open({ foreignUrls: true }).fetch(plain))).rejects.toThrow(failure("not_found"));
  expect(elsewhere.requests).toEqual([]);
});
