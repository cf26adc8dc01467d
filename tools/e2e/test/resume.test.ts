import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { missing } from "@lamella/oracles";
import { afterAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const reason = missing(["root", "docker-registry"]) ?? missingForFixtures();
const KILLS = 10;

describe.skipIf(reason !== undefined)(`a pull that is killed (${reason ?? "ten times, of big"})`, () => {
  const work = mkdtempSync(join(tmpdir(), "lamella-resume-"));
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it("is taken up by the next one, which asks only for what is missing", async () => {
    const total = layerBytes((await fixtures(["big"])).layout("big"));
    await using registry = await startFixtureRegistry();
    await using proxy = await startCountingProxy(registry.address);
    const root = join(work, "root");
    const args = ["pull", `${proxy.address}/big`, "--json", "--quiet", "--root", root];
    for (let kill = 0; kill < KILLS; kill++) {
      const before = bytesOnDisk(root);
      proxy.reset();
      await lamella(args, { kill: sleep(300 + Math.random() * 1200) });
      expect(proxy.askedBytes).toBeLessThanOrEqual(total - before);
    }
    const before = bytesOnDisk(root);
    proxy.reset();
    const run = await lamella(args);
    expect(run.status, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout).sizeBytes).toBe(total);
    expect(before).toBeGreaterThan(0);
    expect(proxy.askedBytes).toBe(total - before);
    console.log(
      `after ${KILLS} kills ${before} of ${total} bytes were there; the last run asked for the other ${proxy.askedBytes}`,
    );
    expect(partsOfLayers(root)).toEqual([]);
  });
});

/** What the store has of layers: whole blobs over a document's size, and parts. */
function bytesOnDisk(root: string): number {
  const blobs = filesIn(join(root, "blobs/sha256")).map((path) => statSync(path).size);
  const parts = partsOfLayers(root).map((path) => statSync(path).size);
  return [...blobs.filter((size) => size > 100_000), ...parts].reduce((sum, size) => sum + size, 0);
}

/** Not of documents: they are fetched whole, and their parts are named by nothing. */
function partsOfLayers(root: string): string[] {
  return filesIn(join(root, "ingest")).filter((path) => basename(path).startsWith("sha256-"));
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

function layerBytes(layout: string): number {
  const read = (path: string) => JSON.parse(readFileSync(join(layout, path), "utf8"));
  const [{ digest }] = read("index.json").manifests;
  const { layers } = read(`blobs/sha256/${digest.slice("sha256:".length)}`);
  return layers.reduce((sum: number, { size }: { size: number }) => sum + size, 0);
}

interface CountingProxy extends AsyncDisposable {
  readonly address: string;
  /** Bytes of layers that were asked for, by the answers' Content-Length. */
  readonly askedBytes: number;
  reset(): void;
}

async function startCountingProxy(upstream: string): Promise<CountingProxy> {
  let askedBytes = 0;
  const server = createServer((incoming, outgoing) => {
    const { url, method, headers } = incoming;
    const passed = httpRequest(
      `http://${upstream}${url}`,
      { method, headers: { ...headers, host: upstream } },
      (answer) => {
        const length = Number(answer.headers["content-length"] ?? 0);
        const isLayer =
          method === "GET" && url?.includes("/blobs/") === true && (length > 100_000 || answer.statusCode === 206);
        if (isLayer) askedBytes += length;
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    passed.on("error", () => outgoing.destroy());
    outgoing.on("close", () => passed.destroy());
    incoming.pipe(passed);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get askedBytes() {
      return askedBytes;
    },
    reset() {
      askedBytes = 0;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
