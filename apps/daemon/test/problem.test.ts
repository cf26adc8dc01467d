import { ImageStoreError } from "@lamella/image-store";
import { OciClientError } from "@lamella/oci-client";
import { LamellaError, RefsError } from "@lamella/refs";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";

import { answerProblem } from "../src/api/problem.js";
import { DaemonError } from "../src/errors.js";

interface Answered {
  readonly response: Response;
  readonly problem: { readonly code: string; readonly detail: string };
  readonly told: unknown[];
}

/** What is answered where this is thrown. */
async function answerTo(error: unknown, init?: RequestInit): Promise<Answered> {
  const told: unknown[] = [];
  const app = new Hono();
  app.get("/*", () => {
    throw error;
  });
  app.onError((thrown, c) => answerProblem(thrown, c, (each) => told.push(each)));
  const response = await app.request("/a", init);
  const text = await response.text();
  return { response, problem: JSON.parse(text || "null") as Answered["problem"], told };
}

const store = (code: ImageStoreError["code"]) => new ImageStoreError(code, "cannot do it: it is so");
const source = (code: OciClientError["code"]) => new OciClientError(code, "cannot do it: it is so");

describe("answerProblem()", () => {
  it.each([
    [store("name_invalid"), 400, "invalid_name"],
    [store("source_invalid"), 400, "invalid_name"],
    [new RefsError("reference_tag", "no"), 400, "invalid_name"],
    [new RefsError("platform_invalid", "no"), 400, "platform_invalid"],
    [new LamellaError("option_invalid", "no"), 400, "option_invalid"],
    [new DaemonError("invalid_request", "no"), 400, "invalid_request"],
    [store("not_found"), 404, "not_found"],
    [source("not_found"), 404, "not_found"],
    [store("in_use"), 409, "in_use"],
    [store("ambiguous"), 409, "ambiguous"],
    [store("name_taken"), 409, "name_taken"],
    [store("not_image"), 422, "not_image"],
    [source("platform_unavailable"), 422, "platform_unavailable"],
    [new DaemonError("key_reused", "no"), 422, "key_reused"],
  ])("answers a client's fault with what it is: %s", async (error, status, code) => {
    const { response, problem, told } = await answerTo(error);
    expect([response.status, problem.code, problem.detail]).toEqual([status, code, error.message]);
    expect(told).toEqual([]);
  });

  it.each([
    [source("unauthorized"), 502, "unauthorized"],
    [source("denied"), 502, "denied"],
    [source("network"), 502, "network"],
    [source("unavailable"), 502, "unavailable"],
    [source("digest_mismatch"), 502, "digest_mismatch"],
    [source("timeout"), 504, "timeout"],
    [store("timeout"), 504, "timeout"],
    [store("no_space"), 507, "no_space"],
    [store("quota_exceeded"), 507, "quota_exceeded"],
    [store("closed"), 503, "closed"],
    [store("too_many_files"), 503, "too_many_files"],
  ])(
    "answers what fails elsewhere, or for want of something, with what it is, and tells it: %s",
    async (error, status, code) => {
      const { response, problem, told } = await answerTo(error);
      expect([response.status, problem.code, problem.detail]).toEqual([status, code, error.message]);
      expect(response.headers.get("Retry-After")).toBe(status === 503 ? "1" : null);
      expect(told).toEqual([error]);
    },
  );

  it.each([
    store("store_invalid"),
    store("io_failed"),
    new LamellaError("unavailable", "cannot read /secret"),
    new LamellaError("toString", "cannot read /secret"),
    Object.assign(new Error("cannot read /secret"), { code: "not_found" }),
  ])("tells of our own failure to us, and to the client nothing: %s", async (error) => {
    const { response, problem, told } = await answerTo(error);
    expect([response.status, problem.code]).toEqual([500, "internal_error"]);
    expect(problem.detail).not.toContain(error.message);
    expect(told).toEqual([error]);
  });

  it("asks to come again when a registry does", async () => {
    const error = new OciClientError("rate_limited", "cannot ask: too often", { retryAfterMs: 7100 });
    const { response } = await answerTo(error);
    expect([response.status, response.headers.get("Retry-After")]).toEqual([503, "8"]);
  });

  it("tells nobody that a client has gone", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    const { response, told } = await answerTo(signal.reason, { signal });
    expect([response.status, told]).toEqual([499, []]);
  });
});
