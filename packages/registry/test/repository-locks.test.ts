import { setTimeout as sleep } from "node:timers/promises";

import { digestOf, OCI_INDEX } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { createRegistry } from "../src/index.js";
import { createRepositoryLocks } from "../src/repository-locks.js";
import { memoryStorage } from "../src/testing.js";
import { bytesOf, createGate, request } from "./fixture.js";

describe("createRepositoryLocks()", () => {
  it("lets one work in a repository at a time, in the order in which they came, and in others meanwhile", async () => {
    const locks = createRepositoryLocks();
    const gate = createGate();
    const seen: string[] = [];
    const first = locks.hold("a", async () => {
      await gate.passed;
      seen.push("a1");
    });
    const others = ["a2", "a3"].map((name) => locks.hold("a", async () => void seen.push(name)));
    await locks.hold("b", async () => void seen.push("b"));
    expect(seen).toEqual(["b"]);
    gate.open();
    await Promise.all([first, ...others]);
    expect(seen).toEqual(["b", "a1", "a2", "a3"]);
  });

  it("goes on after work that fails", async () => {
    const locks = createRepositoryLocks();
    const failure = new Error("failed");
    await expect(locks.hold("a", () => Promise.reject(failure))).rejects.toBe(failure);
    expect(await locks.hold("a", async () => 1)).toBe(1);
  });

  it("ends a wait that is aborted at once, and lets nobody past those before it", async () => {
    const locks = createRepositoryLocks();
    const gate = createGate();
    const seen: number[] = [];
    const first = locks.hold("a", async () => {
      await gate.passed;
      seen.push(1);
    });
    const controller = new AbortController();
    const second = locks.hold("a", async () => void seen.push(2), { signal: controller.signal });
    const third = locks.hold("a", async () => void seen.push(3));
    const reason = new Error("gone");
    controller.abort(reason);
    await expect(second).rejects.toBe(reason);
    await sleep(5);
    expect(seen).toEqual([]);
    gate.open();
    await Promise.all([first, third]);
    expect(seen).toEqual([1, 3]);
    await expect(locks.hold("a", async () => 4, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("createRegistry()", () => {
  it("deletes nothing that a manifest refers to while that is being put", async () => {
    const storage = memoryStorage();
    const gate = createGate();
    const child = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }));
    const digest = digestOf(child);
    const manifests = [{ mediaType: OCI_INDEX, digest, size: child.length }];
    const parent = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    const order: string[] = [];
    const entered = createGate();
    const registry = createRegistry({
      storage: {
        ...storage,
        manifests: {
          ...storage.manifests,
          async put(name, manifest, options) {
            if (manifest.digest !== digest) {
              entered.open();
              await gate.passed;
            }
            order.push("put");
            await storage.manifests.put(name, manifest, options);
          },
          async delete(...call) {
            order.push("delete");
            return storage.manifests.delete(...call);
          },
        },
      },
    });
    const headers = { "Content-Type": OCI_INDEX };
    const put = (tag: string, body: Uint8Array<ArrayBuffer>): Promise<Response> =>
      registry(request("PUT", `/v2/a/manifests/${tag}`, { body, headers }));
    await put("child", child);
    const parentPut = put("parent", parent);
    await entered.passed;
    const deleted = registry(request("DELETE", `/v2/a/manifests/${digest}`));
    await sleep(5);
    gate.open();
    expect((await parentPut).status).toBe(201);
    expect((await deleted).status).toBe(202);
    expect(order).toEqual(["put", "put", "delete"]);
  });
});
