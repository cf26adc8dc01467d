import type { z } from "@hono/zod-openapi";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { ImageDocument } from "../src/api/image-document.js";
import type { Problem } from "../src/api/schemas.js";
import { Image } from "../src/api/schemas.js";
import { ALPINE, openTestApi } from "./api-fixture.js";
import type { TestApi } from "./api-fixture.js";

let test: TestApi;
beforeEach(async () => {
  test = await openTestApi();
});
afterEach(async () => {
  await test[Symbol.asyncDispose]();
});

const path = (name: string, rest = ""): string => `/images/${encodeURIComponent(name)}${rest}`;

async function imageOf(response: Response | Promise<Response>): Promise<ImageDocument> {
  return Image.parse(await (await response).json());
}

async function problemOf(
  response: Response | Promise<Response>,
): Promise<[status: number, code: string, detail: string]> {
  const answered = await response;
  expect(answered.headers.get("Content-Type")).toBe("application/problem+json");
  const problem = (await answered.json()) as z.infer<typeof Problem>;
  expect(problem).toMatchObject({ status: answered.status, type: "about:blank", title: expect.any(String) });
  return [answered.status, problem.code, problem.detail];
}

async function listed(query = ""): Promise<ImageDocument[]> {
  return Image.array().parse(await (await test.request(`/images${query}`)).json());
}

describe("POST /images", () => {
  it("answers at once, with where the image is, and the image is ready some time later", async () => {
    const { digest } = await test.serve(ALPINE, {
      run: {
        Entrypoint: ["/sbin/init"],
        Cmd: ["a"],
        Env: ["A=b=c", "EMPTY"],
        WorkingDir: "/srv",
        User: "1:2",
        Labels: { l: "m" },
      },
    });
    const open = test.shut();
    const response = await test.create({ name: "alpine" });
    expect([response.status, response.headers.get("Location")]).toEqual([202, path(ALPINE)]);
    const asked = await imageOf(response);
    expect(asked).toMatchObject({ name: ALPINE, digest, platform: "linux/amd64", format: "erofs", queue_position: 0 });
    expect(["pending", "pulling"]).toContain(asked.status);
    open();
    const ready = await imageOf(test.request(path("alpine", "?wait=30")));
    expect(ready).toMatchObject({
      id: asked.id,
      status: "ready",
      queue_position: null,
      progress: null,
      error: null,
      entrypoint: ["/sbin/init"],
      cmd: ["a"],
      env: { A: "b=c", EMPTY: "" },
      working_dir: "/srv",
      user: "1:2",
      labels: { l: "m" },
      is_systemd: true,
      disks: [{ format: "erofs", size_bytes: expect.any(Number) }],
    });
    expect(ready.size_bytes).toBe(ready.disks[0]?.size_bytes);
    expect(await listed()).toEqual([ready]);
  });

  it("takes platform, format and options, and for what is not said the daemon's", async () => {
    await test.serve(ALPINE);
    const given = { platform: "linux/amd64", format: "ext4", options: { label: "root", journal: true } };
    const image = await imageOf(test.create({ name: "alpine", ...given }, { query: "?wait=30" }));
    expect(image).toMatchObject({ status: "ready", ...given });
    const usual = await imageOf(test.create({ name: "alpine", options: { label: "r" } }, { query: "?wait=30" }));
    expect(usual).toMatchObject({ status: "ready", format: "erofs", options: { label: "r" } });
    const layered = await imageOf(test.create({ name: "alpine", format: "erofs-layers" }, { query: "?wait=30" }));
    expect(layered).toMatchObject({ status: "ready", disks: [{ format: "erofs" }] });
    expect((await listed("?format=ext4")).map(({ id }) => id)).toEqual([image.id]);
    expect((await imageOf(test.request(path("alpine", "?format=ext4")))).id).toBe(image.id);
    expect(await listed("?platform=linux/arm64")).toEqual([]);
  });

  it("gives a name to an image of the store, without asking for it anywhere", async () => {
    const { digest } = await test.serve(ALPINE);
    await test.create({ name: "alpine" }, { query: "?wait=30" });
    for (const [name, from] of [
      ["mine:1", "alpine"],
      ["mine:2", digest],
    ] as const) {
      const image = await imageOf(test.create({ name, from }, { query: "?wait=30" }));
      expect(image).toMatchObject({ name: `docker.io/library/${name}`, digest, status: "ready" });
    }
    expect((await problemOf(test.create({ name: "mine", from: "nothing" }))).slice(0, 2)).toEqual([404, "not_found"]);
  });

  it("builds again what has failed, under the same number", async () => {
    await test.serve(ALPINE, { architecture: "amd64" });
    const blobs = await test.registry.get(ALPINE);
    const [layer] = blobs.layers;
    await test.registry.content.remove(layer!.descriptor.digest);
    const failed = await imageOf(test.create({ name: "alpine" }, { query: "?wait=30" }));
    expect(failed).toMatchObject({ status: "failed", error_code: "not_found", size_bytes: null, disks: [] });
    expect(failed.error).toMatch(/^cannot /);
    await test.serve(ALPINE, { architecture: "amd64" });
    const again = await imageOf(test.create({ name: "alpine" }, { query: "?wait=30" }));
    expect(again).toMatchObject({ id: failed.id, status: "ready", error: null, error_code: null });
  });

  it("waits no longer than it is told to", async () => {
    await test.serve(ALPINE);
    const open = test.shut();
    const started = performance.now();
    const image = await imageOf(test.create({ name: "alpine" }, { query: "?wait=1" }));
    expect(image.status).toBe("pulling");
    expect(performance.now() - started).toBeGreaterThanOrEqual(990);
    open();
    expect(await test.ended("alpine")).toMatchObject({ status: "ready" });
  });

  it("refuses what is no request", async () => {
    const bad: [body: object, status: number, code: string][] = [
      [{ name: "alpine/UPPER" }, 400, "invalid_name"],
      [{ name: "" }, 400, "invalid_name"],
      [{ name: "a".repeat(513) }, 400, "invalid_name"],
      [{ name: "../../etc" }, 400, "invalid_name"],
      [{ name: "a\0b" }, 400, "invalid_name"],
      [{}, 400, "invalid_request"],
      [{ name: 7 }, 400, "invalid_request"],
      [{ name: "alpine", nonsense: true }, 400, "invalid_request"],
      [{ name: "alpine", format: "vhd" }, 400, "invalid_request"],
      [{ name: "alpine", platform: "linux" }, 400, "invalid_request"],
      [{ name: "alpine", options: { label: 7 } }, 400, "invalid_request"],
      [{ name: "alpine", format: "tar", options: { journal: true } }, 400, "option_invalid"],
      [{ name: "alpine" }, 404, "not_found"],
    ];
    for (const [body, status, code] of bad) {
      expect((await problemOf(test.create(body))).slice(0, 2), JSON.stringify(body)).toEqual([status, code]);
    }
    const json = { "Content-Type": "application/json" };
    const cut = test.request("/images", { method: "POST", body: '{"name":', headers: json });
    expect((await problemOf(cut)).slice(0, 2)).toEqual([400, "invalid_request"]);
    const untyped = test.request("/images", { method: "POST", body: '{"name":"alpine"}' });
    expect((await problemOf(untyped)).slice(0, 2)).toEqual([415, "invalid_request"]);
    for (const query of ["?wait=61", "?wait=-1", "?wait=x", "?wait=1.5"]) {
      const waiting = test.create({ name: "alpine" }, { query });
      expect((await problemOf(waiting)).slice(0, 2)).toEqual([400, "invalid_request"]);
    }
    expect(await listed()).toEqual([]);
    expect(test.errors).toEqual([]);
  });

  it("tells of our own failures no more than that they were", async () => {
    const [status, code, detail] = await problemOf(test.create({ name: "broken.example/app" }));
    expect([status, code]).toEqual([500, "internal_error"]);
    expect(detail).not.toContain("lamellad-api");
    expect(test.errors).toHaveLength(1);
  });
});

describe("Idempotency-Key", () => {
  const keyed = (key: string) => ({ headers: { "Idempotency-Key": key } });

  it("answers what is sent again as it was answered, also after the image has changed", async () => {
    await test.serve(ALPINE);
    const first = await test.create({ name: "alpine" }, keyed("k"));
    const text = await first.text();
    await test.ended("alpine");
    const second = await test.create({ name: "alpine" }, keyed("k"));
    expect([second.status, second.headers.get("Location"), await second.text()]).toEqual([202, path(ALPINE), text]);
    const other = await imageOf(test.create({ name: "alpine" }, keyed("other")));
    expect(other.status).toBe("ready");
  });

  it("refuses another request under the key", async () => {
    await test.serve(ALPINE);
    await test.create({ name: "alpine" }, keyed("k"));
    const again = test.create({ name: "alpine", format: "tar" }, keyed("k"));
    expect((await problemOf(again)).slice(0, 2)).toEqual([422, "key_reused"]);
    expect(await listed("?format=tar")).toEqual([]);
  });

  it("does once what two send at once", async () => {
    await test.serve(ALPINE);
    const texts = await Promise.all(
      [1, 2, 3].map(async () => (await test.create({ name: "alpine" }, keyed("k"))).text()),
    );
    expect(new Set(texts).size).toBe(1);
  });

  it("does again what was not done", async () => {
    expect((await test.create({ name: "alpine" }, keyed("k"))).status).toBe(404);
    await test.serve(ALPINE);
    expect((await test.create({ name: "alpine" }, keyed("k"))).status).toBe(202);
  });

  it("is not too long", async () => {
    const response = test.create({ name: "alpine" }, keyed("k".repeat(256)));
    expect((await problemOf(response)).slice(0, 2)).toEqual([400, "invalid_request"]);
  });
});

describe("GET /images", () => {
  it("gives of each what it gives of one alone", async () => {
    for (const name of ["one", "two"]) {
      await test.serve(`docker.io/library/${name}:latest`, { layers: [name], run: { Cmd: [name] } });
      await test.create({ name }, { query: "?wait=30" });
    }
    const open = test.shut();
    await test.serve(ALPINE, { layers: ["three"] });
    await test.create({ name: "alpine" });
    await test.create({ name: "alpine", format: "tar" });
    await expect.poll(async () => (await listed("?status=pulling")).length).toBe(1);
    const all = await listed();
    expect(all.map(({ name, format, queue_position }) => [name.split("/").at(-1), format, queue_position])).toEqual([
      ["alpine:latest", "tar", 1],
      ["alpine:latest", "erofs", 0],
      ["two:latest", "erofs", null],
      ["one:latest", "erofs", null],
    ]);
    for (const image of all) {
      expect(await imageOf(test.request(path(image.name, `?format=${image.format}`)))).toEqual(image);
    }
    expect((await listed("?status=ready")).map(({ cmd }) => cmd)).toEqual([["two"], ["one"]]);
    open();
    expect((await problemOf(test.request("/images?status=none"))).slice(0, 2)).toEqual([400, "invalid_request"]);
  });
});

describe("GET /images/{name}", () => {
  it("finds an image by all that it goes by", async () => {
    const { digest } = await test.serve(ALPINE);
    await test.create({ name: "alpine" }, { query: "?wait=30" });
    for (const name of ["alpine", "library/alpine", ALPINE, digest, digest.slice(7), digest.slice(7, 19)]) {
      expect((await imageOf(test.request(path(name)))).digest).toBe(digest);
    }
    // as a browser or a proxy may write it
    expect((await test.request("/images/docker.io%2flibrary%2falpine%3Alatest")).status).toBe(200);
  });

  it("has no image by what is no name, and reaches nothing else by it", async () => {
    const names = ["nothing", "%", "%2F", "a/../b", "\u0000", "UPPER", "é", "a b", "sha256:0000000", "a".repeat(5000)];
    for (const name of names) {
      expect((await problemOf(test.request(path(name)))).slice(0, 2), name).toEqual([404, "not_found"]);
    }
  });

  it("gives an image as it is when the daemon stops while its client waits", async () => {
    await test.serve(ALPINE);
    test.shut();
    await test.create({ name: "alpine" });
    const waiting = test.request(path("alpine", "?wait=60"));
    setTimeout(() => test.stop.abort(), 100);
    expect((await imageOf(waiting)).status).toBe("pulling");
  });

  it("has no image any more that is deleted while its client waits", async () => {
    await test.serve(ALPINE);
    test.shut();
    await test.create({ name: "alpine" });
    const waiting = test.request(path("alpine", "?wait=60"));
    setTimeout(() => void test.request(path("alpine"), { method: "DELETE" }), 100);
    const answer = await waiting;
    // it was cancelled just before
    if (answer.status === 200) expect((await imageOf(answer)).status).toBe("cancelled");
    else expect((await problemOf(answer))[0]).toBe(404);
  });
});

describe("POST /images/{name}/cancel", () => {
  it("ends a build, which can be asked for again, and leaves alone what has ended", async () => {
    await test.serve(ALPINE);
    const open = test.shut();
    const { id } = await imageOf(test.create({ name: "alpine" }));
    const cancel = async () => imageOf(test.request(path("alpine", "/cancel"), { method: "POST" }));
    expect(await cancel()).toMatchObject({ id, status: "cancelled", queue_position: null });
    expect(await cancel()).toMatchObject({ id, status: "cancelled" });
    open();
    expect(await imageOf(test.create({ name: "alpine" }, { query: "?wait=30" }))).toMatchObject({
      id,
      status: "ready",
    });
    expect(await cancel()).toMatchObject({ id, status: "ready" });
    const none = test.request(path("nothing", "/cancel"), { method: "POST" });
    expect((await problemOf(none)).slice(0, 2)).toEqual([404, "not_found"]);
  });
});

describe("DELETE /images/{name}", () => {
  it("removes a name and no other", async () => {
    const { digest } = await test.serve(ALPINE);
    await test.create({ name: "alpine" }, { query: "?wait=30" });
    await test.create({ name: "mine", from: "alpine" }, { query: "?wait=30" });
    const remove = async (name: string, query = "") => test.request(path(name, query), { method: "DELETE" });
    expect((await problemOf(remove(digest))).slice(0, 2)).toEqual([409, "in_use"]);
    expect((await problemOf(remove("alpine", "?force=perhaps"))).slice(0, 2)).toEqual([400, "invalid_request"]);
    const gone = await remove("alpine");
    expect([gone.status, await gone.text()]).toEqual([204, ""]);
    expect((await problemOf(remove("alpine"))).slice(0, 2)).toEqual([404, "not_found"]);
    expect(await listed()).toMatchObject([{ name: "docker.io/library/mine:latest", status: "ready" }]);
    await test.create({ name: "other", from: "mine" }, { query: "?wait=30" });
    expect((await remove(digest, "?force=true")).status).toBe(204);
    expect(await listed()).toEqual([]);
  });
});
