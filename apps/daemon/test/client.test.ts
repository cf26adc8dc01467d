import { Validator } from "@seriousme/openapi-schema-validator";
import { openImageStore } from "@lamella/image-store";
import { copyImage, createRegistryClient } from "@lamella/oci-client";
import createClient from "openapi-fetch";
import type { Client } from "openapi-fetch";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// made of the document by openapi.mjs
import type { paths } from "../dist/client/paths.js";
import { ask, runDaemon, temporaryDirectory } from "./fixture.js";
import type { RunningDaemon } from "./fixture.js";
import { addImage, addIndex, PLATFORM } from "./sample-images.js";

let running: RunningDaemon;
let client: Client<paths>;
beforeAll(async () => {
  running = await runDaemon(undefined, { defaults: { platform: PLATFORM, disk: { format: "erofs" } } });
  client = createClient<paths>({ baseUrl: running.daemon.url });
});
afterAll(() => running[Symbol.asyncDispose]());

/** Pushes an image of two layers. */
async function push(repository: string): Promise<void> {
  await using directory = await temporaryDirectory();
  await using source = await openImageStore(directory.path);
  const image = await addImage(source, { layers: ["below", "above"], run: { Cmd: ["/sbin/init"] } });
  await source.tag("local/app", await addIndex(source, [{ ...image, platform: PLATFORM }]));
  const registry = createRegistryClient();
  const domain = new URL(running.daemon.url).host;
  const to = { images: registry.repository({ domain, path: repository }), name: "v1" };
  await copyImage({ images: source, name: "local/app" }, to);
  await registry.close();
}

describe("the document of the API", () => {
  const read = async () => (await (await fetch(`${running.daemon.url}/openapi.json`)).json()) as Record<string, object>;

  it("is valid OpenAPI 3.1", async () => {
    const document = await read();
    expect(document["openapi"]).toBe("3.1.0");
    const validator = new Validator();
    expect(await validator.validate(document)).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
    const broken = { ...document, paths: { "/images": { get: { responses: 7 } } } };
    expect((await validator.validate(broken)).valid).toBe(false);
  });

  it("names each operation once, and says of each how it tells of a problem", async () => {
    const { paths: all = {} } = await read();
    const operations = Object.values(all as Record<string, Record<string, { operationId?: string; responses: object }>>)
      .flatMap((path) => Object.entries(path))
      .filter(([method]) => method !== "parameters")
      .map(([, operation]) => operation);
    expect(operations.length).toBeGreaterThan(20);
    for (const { responses } of operations) expect(Object.keys(responses)).toContain("default");
    const ids = operations.flatMap(({ operationId }) => operationId ?? []);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("a client that is made of the document", () => {
  it("goes with an image from its push to its end", async () => {
    await push("team/app");
    const name = "localhost/team/app:v1";
    const path = { name };
    const { data: pushed } = await client.GET("/images/{name}", { params: { path, query: { wait: 30 } } });
    expect(pushed).toMatchObject({ name, status: "ready", is_systemd: true, format: "erofs" });

    const { data: asked, response } = await client.POST("/images", {
      body: { name: "mine:1", from: name, format: "ext4", options: { label: "root" } },
      params: { query: { wait: 30 }, header: { "idempotency-key": "k" } },
    });
    expect(response.status).toBe(202);
    expect(asked).toMatchObject({ status: "ready", options: { label: "root" }, digest: pushed?.digest });

    const { data: images } = await client.GET("/images", { params: { query: { status: "ready" } } });
    expect(images).toEqual([asked, pushed]);

    const { data: layers } = await client.GET("/images/{name}/layers", { params: { path } });
    expect(layers?.layers.map(({ added }) => added.files)).toEqual([1, 1]);
    const { data: files } = await client.GET("/images/{name}/files", { params: { path, query: { path: "" } } });
    expect(files?.entries.map((entry) => entry.name)).toEqual(["file0", "file1"]);
    const file = { path, query: { path: "file1" } };
    const { data: text } = await client.GET("/images/{name}/file", { params: file, parseAs: "text" });
    expect(text).toBe("above");

    const [disk] = asked?.disks ?? [];
    const key = { path: { key: disk!.key } };
    const { data: bytes } = await client.GET("/disks/{key}", { params: key, parseAs: "arrayBuffer" });
    expect(bytes).toHaveProperty("byteLength", disk?.size_bytes);

    const { data: events } = await client.GET("/images/{name}/events", { params: { path }, parseAs: "text" });
    expect(events).toContain("event: status\ndata: ");

    const { data: cancelled } = await client.POST("/images/{name}/cancel", { params: { path } });
    expect(cancelled).toEqual(pushed);

    for (const each of [name, "mine:1"]) {
      const { response: gone } = await client.DELETE("/images/{name}", { params: { path: { name: each } } });
      expect(gone.status).toBe(204);
    }
    const { data: report } = await client.POST("/gc", { body: { grace_seconds: 0 } });
    expect(report?.disks.count).toBe(2);
    const { data: usage } = await client.GET("/usage");
    expect([usage?.images, usage?.disk_bytes]).toEqual([[], 0]);
    const { data: check } = await client.POST("/check", { body: {} });
    expect(check?.findings).toEqual([]);
    expect(running.errors).toEqual([]);
  });

  it("is told of a problem in the document's words", async () => {
    const { error, response } = await client.GET("/images/{name}", { params: { path: { name: "nothing" } } });
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
    expect(error).toMatchObject({ status: 404, code: "not_found", title: "Not Found" });
  });
});

describe("lamellad", () => {
  it("takes a request whose length is not said", async () => {
    const { hostname, port } = new URL(running.daemon.url);
    const headers = { "Content-Type": "application/json", "Transfer-Encoding": "chunked" };
    const sent = JSON.stringify({ name: "mine", from: "nothing" });
    const answer = await ask({ hostname, port, method: "POST", path: "/images", headers }, sent);
    expect([answer.status, answer.body]).toEqual([404, expect.stringContaining("nothing")]);
    const bodiless = await ask({ hostname, port, method: "DELETE", path: "/images/nothing" });
    expect(bodiless.status).toBe(404);
  });
});
