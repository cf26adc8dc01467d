import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { createImageManager, openImageStore } from "@lamella/image-store";
import { describe, expect, it } from "vitest";

import { startDaemon } from "../src/daemon.js";
import { ANY_PORT, ask, runDaemon, temporaryDirectory } from "./fixture.js";
import { addImage, PLATFORM } from "./sample-images.js";

describe("stopping lamellad", () => {
  it("is not ready, takes no connections, ends event streams and finishes the upload that has begun", async () => {
    await using running = await runDaemon();
    const { daemon } = running;
    const { hostname, port } = new URL(daemon.url);
    const begun = await fetch(`${daemon.url}/v2/a/blobs/uploads/`, { method: "POST" });
    const location = begun.headers.get("Location") ?? "";
    const headers = { "Content-Length": 10, Connection: "close" };
    const upload = request({ hostname, port, agent: false, method: "PATCH", path: location, headers });
    const answered = once(upload, "response");
    upload.write("hello");
    const events = await fetch(`${daemon.url}/events`);
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask({ hostname, port, path: "/readyz", agent: kept })).status).toBe(200);
    const pipelined = connect(Number(port), hostname);
    let text = "";
    pipelined.on("data", (chunk: Buffer) => (text += chunk.toString()));
    pipelined.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
    await sleep(50);

    const stopped = daemon.stop(5000);
    pipelined.write("\r\nGET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await events.text();
    await expect(fetch(`${daemon.url}/healthz`)).rejects.toThrow();
    await expect.poll(() => text).toMatch(/^HTTP\/1\.1 200/);
    upload.end("again");
    const [response] = (await answered) as [{ statusCode: number; headers: Record<string, string> }];
    expect(response.statusCode).toBe(202);
    expect(response.headers["range"]).toBe("0-9");
    kept.destroy();
    await stopped;
    expect(running.errors).toEqual([]);
  });

  it("cuts an upload that takes longer than the grace, and discards it", async () => {
    await using running = await runDaemon();
    const { hostname, port } = new URL(running.daemon.url);
    const begun = await fetch(`${running.daemon.url}/v2/a/blobs/uploads/`, { method: "POST" });
    const path = begun.headers.get("Location") ?? "";
    const upload = request({ hostname, port, agent: false, method: "PATCH", path, headers: { "Content-Length": 10 } });
    upload.write("hello");
    const cut = once(upload, "error");
    await sleep(50);
    const started = performance.now();
    await Promise.all([running.daemon.stop(300), cut]);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(await readdir(join(running.root, "ingest"))).toEqual([]);
  });

  it("writes the database's log back", async () => {
    await using running = await runDaemon();
    const sizeOf = async (name: string): Promise<number> => (await stat(join(running.root, name))).size;
    expect(await sizeOf("lamella.db-wal")).toBeGreaterThan(0);
    await running.daemon.stop(0);
    expect(await sizeOf("lamella.db-wal")).toBe(0);
  });

  it("leaves builds to the next start, which is ready when it has taken them over", async () => {
    await using directory = await temporaryDirectory();
    const name = "localhost/app:v1";
    {
      await using store = await openImageStore(directory.path);
      const manifest = await addImage(store);
      await using manager = await createImageManager(store, {
        sources: () => Promise.reject(new Error("nothing is pulled")),
        concurrency: { builds: 1 },
      });
      const options = { platform: PLATFORM, disk: { format: "erofs" } } as const;
      await manager.importLocalImage(name, manifest.digest, options);
    }
    await using store = await openImageStore(directory.path);
    const [left] = await store.database.read((queries) => queries.selectFrom("builds").selectAll().execute());
    expect(["pending", "pulling", "converting"]).toContain(left?.status);
    const errors: unknown[] = [];
    const onError = (error: unknown): unknown => errors.push(error);
    const daemon = await startDaemon({ root: directory.path, listen: [ANY_PORT], noToken: true, onError });
    await daemon.ready;
    expect((await fetch(`${daemon.url}/readyz`)).status).toBe(200);
    const path = `/images/${encodeURIComponent(name)}?wait=20`;
    expect(await (await fetch(daemon.url + path)).json()).toMatchObject({ id: left?.id, status: "ready" });
    await daemon.stop(1000);
    expect(errors).toEqual([]);
  });
});
