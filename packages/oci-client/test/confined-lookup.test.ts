import type { LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { confinedLookup } from "../src/confined-lookup.js";
import { createHttpTransport } from "../src/http-transport.js";
import { createRegistryClient } from "../src/index.js";
import { type FaultProxy, startFaultProxy } from "../src/testing.js";
import { failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

const found = (addresses: readonly string[]): LookupAddress[] =>
  addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));

/** Every name stands for these addresses. */
function resolver(...addresses: string[]): LookupFunction {
  return (_, { all }, callback) => {
    const [first = { address: "", family: 4 }] = found(addresses);
    if (all === true) callback(null, found(addresses));
    else callback(null, first.address, first.family);
  };
}

function lookUp(lookup: LookupFunction, all: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    confinedLookup(lookup)("name.example", { all }, (error, address) =>
      error === null ? resolve(JSON.stringify(address)) : reject(error),
    );
  });
}

describe("confinedLookup()", () => {
  it.each(["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.1.1", "0.0.0.0", "fd00:ec2::254"])(
    "fails for a name that stands for %s, alone or beside others",
    async (address) => {
      await expect(lookUp(resolver(address), false)).rejects.toThrow("link-local");
      await expect(lookUp(resolver("192.0.2.1", address), true)).rejects.toThrow("link-local");
    },
  );

  it("lets other names be, and the errors of a lookup", async () => {
    expect(await lookUp(resolver("192.0.2.1"), false)).toBe('"192.0.2.1"');
    expect(await lookUp(resolver("192.0.2.1", "2001:db8::1"), true)).toContain("2001:db8::1");
    const broken: LookupFunction = (_, __, callback) => callback(new Error("no such name"), "", 0);
    await expect(lookUp(broken, true)).rejects.toThrow("no such name");
  });
});

describe("a client", () => {
  let registry: TestRegistry;
  let proxy: FaultProxy;
  const closing: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    registry = await startRegistry();
    proxy = await startFaultProxy({ upstream: registry.url });
  });

  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    await proxy.close();
    await registry[Symbol.asyncDispose]();
  });

  async function follow(lookup: LookupFunction): Promise<Uint8Array> {
    const transport = createHttpTransport({ connectMs: 2000, proxy: false, lookup });
    closing.push(() => transport.close());
    const client = createRegistryClient({ transport, plainHttp: () => true, retry: { attempts: 1 } });
    const layer = registry.addBlob(pseudoRandom(1000));
    const location = `${registry.url.replace("127.0.0.1", "storage.example")}/v2/${PATH}/blobs/${layer.digest}`;
    proxy.setFaults([{ path: /blobs/, action: { kind: "answer", status: 307, headers: { location } } }]);
    return readAll(client.repository({ domain: proxy.host, path: PATH }).fetch(layer));
  }

  it("follows a redirect to a name", async () => {
    expect(await follow(resolver("127.0.0.1"))).toHaveLength(1000);
  });

  it("does not follow one to a name that stands for a link-local address", async () => {
    await expect(follow(resolver("169.254.169.254"))).rejects.toThrow(failure("redirect_refused", "link-local"));
  });

  it("asks a registry of the user's own choice wherever it is", async () => {
    const transport = createHttpTransport({ connectMs: 200, proxy: false, lookup: resolver("169.254.0.0") });
    closing.push(() => transport.close());
    const client = createRegistryClient({ transport, plainHttp: () => true, retry: { attempts: 1 } });
    const asked = client.repository({ domain: "mine.example:1", path: PATH }).resolve("1");
    await expect(asked).rejects.not.toThrow(failure("redirect_refused"));
  });
});
