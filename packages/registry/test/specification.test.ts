import { describe, expect, it } from "vitest";

import { createRegistry } from "../src/index.js";
import { checkSpecification, memoryStorage } from "../src/testing.js";

type Send = (request: Request) => Promise<Response>;

/** One thing that a registry does wrong, and the group of tests that has to see it. */
interface Fault {
  readonly title: string;
  readonly group: string;
  readonly send: (send: Send) => Send;
}

function without(request: Request, header: string): Request {
  const headers = new Headers(request.headers);
  headers.delete(header);
  return new Request(request, { headers, duplex: "half" });
}

async function answered(
  response: Response,
  change: { status?: number; headers?: Record<string, string>; body?: string },
): Promise<Response> {
  const body = change.body ?? (await response.text());
  const headers = new Headers({ ...Object.fromEntries(response.headers), ...change.headers });
  return new Response(response.status === 204 ? null : body, { status: change.status ?? response.status, headers });
}

const pathOf = (request: Request): string => new URL(request.url).pathname;

const FAULTS: readonly Fault[] = [
  {
    title: "is no registry",
    group: "ping",
    send: () => async () => new Response("hello", { status: 404 }),
  },
  {
    title: "lists tags in another order",
    group: "tags",
    send: (send) => async (request) => {
      const response = await send(request);
      if (!pathOf(request).endsWith("/tags/list") || response.status !== 200) return response;
      const list = (await response.json()) as { tags: string[] };
      return Response.json({ ...list, tags: list.tags.reverse() });
    },
  },
  {
    title: "forgets where a page of tags goes on",
    group: "tags",
    send: (send) => async (request) => {
      const response = await send(request);
      response.headers.delete("Link");
      return response;
    },
  },
  {
    title: "takes chunks in any order",
    group: "blobs under sha256",
    send: (send) => (request) => send(without(request, "Content-Range")),
  },
  {
    title: "says nothing of how far an upload is",
    group: "blobs under sha512",
    send: (send) => async (request) => {
      const response = await send(request);
      response.headers.delete("Range");
      return response;
    },
  },
  {
    title: "gives back other bytes",
    group: "blobs under sha256",
    send: (send) => async (request) => {
      const response = await send(request);
      if (request.method !== "GET" || !/\/blobs\/sha/.test(request.url) || response.status !== 200) return response;
      const bytes = new Uint8Array(await response.arrayBuffer());
      return new Response(bytes.fill(0), response);
    },
  },
  {
    title: "has no mounts",
    group: "mounts under sha256",
    send: (send) => (request) => send(new Request(request.url.replace("mount=", "x="), request)),
  },
  {
    title: "takes any content for a digest",
    group: "bad digests under sha256",
    send: (send) => async (request) => {
      const response = await send(request);
      return response.status === 400 ? answered(response, { status: 201 }) : response;
    },
  },
  {
    title: "knows no ranges",
    group: "ranges",
    send: (send) => (request) => send(without(request, "Range")),
  },
  {
    title: "gives ranges that are one byte off",
    group: "ranges",
    send: (send) => async (request) => {
      const response = await send(request);
      if (response.status !== 206) return response;
      const bytes = new Uint8Array(await response.arrayBuffer());
      return new Response(bytes.subarray(1), response);
    },
  },
  {
    title: "takes any text for a manifest",
    group: "manifests",
    send: (send) => async (request) => {
      const response = await send(request);
      return request.method === "PUT" && response.status === 400 ? answered(response, { status: 201 }) : response;
    },
  },
  {
    title: "says that it deletes, and does not",
    group: "deletes",
    send: (send) => async (request) =>
      request.method === "DELETE" ? new Response(null, { status: 202 }) : send(request),
  },
  {
    title: "has no referrers",
    group: "referrers",
    send: (send) => async (request) =>
      pathOf(request).includes("/referrers/") ? new Response(null, { status: 404 }) : send(request),
  },
  {
    title: "does not say that it has seen a subject",
    group: "referrers",
    send: (send) => async (request) => {
      const response = await send(request);
      response.headers.delete("OCI-Subject");
      return response;
    },
  },
  {
    title: "says that it filters referrers, and does not",
    group: "data under sha256",
    send: (send) => async (request) => {
      if (!pathOf(request).includes("/referrers/")) return send(request);
      const response = await send(new Request(request.url.replace(/\?.*/, ""), request));
      return answered(response, { headers: { "OCI-Filters-Applied": "artifactType" } });
    },
  },
  {
    title: "lists referrers without their annotations",
    group: "data under sha512",
    send: (send) => async (request) => {
      const response = await send(request);
      if (!pathOf(request).includes("/referrers/")) return response;
      const text = await response.text();
      return answered(response, { body: text.replaceAll('"annotations"', '"notes"') });
    },
  },
  {
    title: "gives a manifest another type",
    group: "data under sha256",
    send: (send) => async (request) => {
      const response = await send(request);
      if (pathOf(request).includes("/manifests/")) response.headers.set("Content-Type", "application/json");
      return response;
    },
  },
  {
    title: "has no catalog",
    group: "catalog",
    send: (send) => async (request) =>
      pathOf(request).endsWith("/_catalog") ? new Response(null, { status: 404 }) : send(request),
  },
];

describe("checkSpecification()", () => {
  it.each(FAULTS)("sees a registry that $title", async ({ group, send }) => {
    const registry = createRegistry({ storage: memoryStorage() });
    const results = await checkSpecification({ send: send(registry), origin: "http://registry.test" }, group);
    expect(results.length).toBeGreaterThan(0);
    expect(results.filter(({ failure, lacks }) => failure !== undefined || lacks.length > 0)).not.toEqual([]);
  });

  it("tells what a registry may leave out from what it does wrong", async () => {
    const registry = createRegistry({ storage: memoryStorage(), deletion: { blobs: false, tags: false } });
    const results = await checkSpecification({ send: registry, origin: "http://registry.test" }, "deletes");
    expect(results.map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
    expect(new Set(results.flatMap(({ lacks }) => lacks))).toEqual(new Set(["deleting tags", "deleting blobs"]));
  });
});
