import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { build, type BuildResult } from "esbuild";
import { describe, expect, it } from "vitest";

import * as main from "../src/index.js";
import * as portable from "../src/portable.js";
import { PATH, pseudoRandom, readAll, startRegistry } from "./registry-server.js";

/** What a browser's bundler makes of some source of this directory; Node's modules are an error there. */
async function bundleForBrowser(contents: string): Promise<BuildResult<{ write: false }>> {
  return build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "ts" },
    bundle: true,
    write: false,
    platform: "browser",
    format: "esm",
    logLevel: "silent",
    // dist is not there before a build
    alias: { "@lamella/refs": new URL("../../refs/src/index.ts", import.meta.url).pathname },
  });
}

describe("the portable entry", () => {
  it("is bundled for a browser without anything of Node", async () => {
    const { outputFiles } = await bundleForBrowser('export * from "../src/portable.js";');
    const text = outputFiles[0]?.text ?? "";
    expect(text).toContain("createRegistryClient");
    // process.getBuiltinModule("node:…") stays: it is only called where there is one.
    expect(text.match(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*["'](?:node:)?[a-z/]+["']/g)).toBeNull();
  });

  it("would be seen to need Node if it did", async () => {
    await expect(bundleForBrowser('export * from "../src/index.js";')).rejects.toThrow("node:");
  });

  it("is a part of the main entry", () => {
    expect(Object.keys(main)).toEqual(expect.arrayContaining(Object.keys(portable)));
  });

  it("reads a registry with nothing but the platform's fetch", async () => {
    await using registry = await startRegistry();
    const bytes = pseudoRandom(300_000);
    const layer = registry.addBlob(bytes);
    const descriptor = registry.addManifest("1", "{}");
    await using client = portable.createRegistryClient();
    const repository = client.repository({ domain: registry.host, path: PATH });
    expect(await repository.resolve("1")).toEqual(descriptor);
    expect(await readAll(repository.fetch(layer))).toEqual(bytes);
    expect(await readAll(repository.fetchRange(layer, { offset: 7, length: 9 }))).toEqual(bytes.subarray(7, 16));
  });

  it("lets a platform follow what it does not show", async () => {
    const seen: string[] = [];
    const transport = portable.createFetchTransport(async (request) => {
      seen.push(request.redirect);
      if (request.redirect === "follow") return new Response("followed");
      return Object.defineProperty(Response.error(), "type", { value: "opaqueredirect" });
    });
    const { signal } = new AbortController();
    const url = new URL("https://registry.example/v2/");
    const response = await transport.request({ method: "GET", url, headers: {}, signal });
    expect(new TextDecoder().decode(await readAll(response.body))).toBe("followed");
    expect(seen).toEqual(["manual", "follow"]);
    expect((await transport.request({ method: "PUT", url, headers: {}, signal })).status).toBe(0);
  });

  it("sends a body of unknown length, and stops reading one that nobody wants", async () => {
    let received = 0;
    const server = createServer(async (request, response) => {
      for await (const chunk of request) received += (chunk as Uint8Array).byteLength;
      response.write("x".repeat(100_000));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    try {
      const { signal } = new AbortController();
      const transport = portable.createFetchTransport((request) => fetch(request));
      const body = (async function* () {
        for (let count = 0; count < 3; count++) yield new Uint8Array(1000);
      })();
      const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const response = await transport.request({ method: "PUT", url, headers: {}, body, signal });
      for await (const chunk of response.body) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
      expect(received).toBe(3000);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
