import { readdir } from "node:fs/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { addSnapshotRoutes } from "../src/api/snapshots.js";
import { serveStore } from "./store-fixture.js";
import type { ServedStore } from "./store-fixture.js";

let served: ServedStore;
let ask: (
  path: string,
  init?: RequestInit,
) => Promise<{ status: number; body: Record<string, unknown> | undefined; location: string | null }>;
beforeAll(async () => {
  served = await serveStore();
  const api = served.serve(addSnapshotRoutes);
  ask = async (path, init) => {
    const answer = await api.request(path, init);
    const text = await answer.text();
    const body = text === "" ? undefined : (JSON.parse(text) as Record<string, unknown>);
    return { status: answer.status, body, location: answer.headers.get("Location") };
  };
});
afterAll(async () => served[Symbol.asyncDispose]());

function post(body: object): RequestInit {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

describe("the snapshots of a store", () => {
  it("are opened when they are first asked for", async () => {
    expect(await readdir(served.root)).not.toContain("snapshots");
    expect(await ask("/snapshots")).toMatchObject({ status: 200, body: [] });
    expect(await readdir(served.root)).toContain("snapshots");
  });

  it("are prepared, committed under a name of any kind, viewed and removed", async () => {
    const made = await ask("/snapshots", post({ key: "work", labels: { a: "b" } }));
    expect(made).toMatchObject({
      status: 201,
      location: "/snapshots/work",
      body: {
        snapshot: { name: "work", kind: "active", parent: null, labels: { a: "b" } },
        mounts: [{ type: "checkout" }],
      },
    });
    expect(await ask("/snapshots/work")).toMatchObject({
      status: 200,
      body: { snapshot: { kind: "active" }, usage: { inodes: 1 } },
    });

    const name = "sha256:abc/ä %41";
    const committed = await ask("/snapshots/work/commit", post({ name }));
    expect(committed).toMatchObject({ status: 201, body: { name, kind: "committed" } });
    expect(committed.location).toBe(`/snapshots/${encodeURIComponent(name)}`);
    expect(await ask("/snapshots/work")).toMatchObject({ status: 404, body: { code: "not_found" } });
    expect(await ask(committed.location!)).toMatchObject({ status: 200, body: { snapshot: { name }, mounts: [] } });

    expect(await ask("/snapshots", post({ key: "look", parent: name, readonly: true }))).toMatchObject({
      status: 201,
      body: { snapshot: { kind: "view", parent: name } },
    });
    expect(await ask("/snapshots")).toMatchObject({ body: [{ name: "look" }, { name }] });
    expect(await ask(committed.location!, { method: "DELETE" })).toMatchObject({
      status: 409,
      body: { code: "failed_precondition" },
    });
    expect((await ask("/snapshots/look", { method: "DELETE" })).status).toBe(204);
    expect((await ask(committed.location!, { method: "DELETE" })).status).toBe(204);
    expect(await ask("/snapshots")).toMatchObject({ body: [] });
  });

  it("answer by the code of what is wrong", async () => {
    await ask("/snapshots", post({ key: "one" }));
    expect(await ask("/snapshots", post({ key: "one" }))).toMatchObject({
      status: 409,
      body: { code: "already_exists" },
    });
    expect(await ask("/snapshots", post({ key: "two", parent: "none" }))).toMatchObject({
      status: 404,
      body: { code: "not_found" },
    });
    expect(await ask("/snapshots", post({ key: "two", parent: "one" }))).toMatchObject({
      status: 400,
      body: { code: "invalid_argument" },
    });
    expect((await ask("/snapshots", post({ key: "" }))).status).toBe(400);
    expect((await ask("/snapshots/none", { method: "DELETE" })).status).toBe(404);
    expect((await ask("/snapshots/none/commit", post({ name: "x" }))).status).toBe(404);
  });
});
