import { readFile } from "node:fs/promises";

import { context, trace } from "@opentelemetry/api";
import type { Attributes, Context, Span, SpanOptions, Tracer, TracerProvider } from "@opentelemetry/api";
import { describe, expect, it } from "vitest";

import { createLog } from "../src/logging.js";
import type { Logger } from "../src/logging.js";
import { createMetrics } from "../src/metrics.js";
import { joinHooks, traceBuilds } from "../src/tracing.js";
import { ANY_PORT, runDaemon } from "./fixture.js";
import { pushImage } from "./pushed-image.js";

const TOKEN = "correct-horse-battery-staple";

type Line = Record<string, unknown>;

interface Lines {
  readonly log: Logger;
  readonly text: () => string;
  readonly lines: () => Line[];
}

function logToMemory(level: "debug" | "info" = "debug"): Lines {
  let text = "";
  const destination = { write: (line: string) => void (text += line) };
  const lines = (): Line[] =>
    text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line);
  return { log: createLog({ level, secrets: [TOKEN], destination }), text: () => text, lines };
}

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The lines of Prometheus' text format. */
function samplesOf(text: string): Sample[] {
  return text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key = "", label = ""]) => [key, label]);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
  });
}

interface Build {
  readonly id: number;
  readonly status: string;
}

/** The image that a tag was pushed of, when its build has ended. */
async function builtOf(url: string, name: string, headers: Record<string, string> = {}): Promise<Build> {
  for (;;) {
    const path = `/images/${encodeURIComponent(`localhost/${name}`)}?wait=10`;
    const answer = await fetch(url + path, { headers });
    const image = (await answer.json()) as Build;
    if (["ready", "failed"].includes(image.status)) return image;
  }
}

describe("the metrics of lamellad", () => {
  it("tell of phases, requests and the store, and never of a name", async () => {
    await using running = await runDaemon();
    const { url } = running.daemon;
    await pushImage(url, "secret-project:v1");
    expect((await builtOf(url, "secret-project:v1")).status).toBe("ready");
    await pushImage(url, "secret-failure:v1", { layer: Buffer.alloc(2048, 0x41) });
    expect((await builtOf(url, "secret-failure:v1")).status).toBe("failed");
    await fetch(`${url}/secret-path/x`);
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get("Content-Type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    expect(text).not.toContain("secret");
    const samples = samplesOf(text);
    const value = (name: string, labels: Record<string, string> = {}): number | undefined =>
      samples.find(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([key, label]) => sample.labels[key] === label),
      )?.value;
    for (const phase of ["build", "pull", "convert", "record"]) {
      expect([phase, value("lamella_phase_seconds_count", { phase, outcome: "done" })]).toEqual([phase, 1]);
    }
    expect(value("lamella_phase_seconds_count", { phase: "build", outcome: "failed" })).toBe(1);
    expect(value("lamella_phase_errors_total", { phase: "pull" })).toBe(1);
    expect(value("lamella_images_total", { status: "ready" })).toBe(1);
    expect(value("lamella_images_total", { status: "failed" })).toBe(1);
    expect(value("lamella_queue_builds_total", { status: "active" })).toBe(0);
    const put = { method: "PUT", route: "/v2/:name/manifests" };
    expect(value("lamella_http_requests_total", { ...put, code: "201" })).toBe(2);
    expect(value("lamella_http_request_seconds_count", put)).toBe(2);
    expect(value("lamella_http_requests_total", { route: "none", code: "404" })).toBe(1);
    for (const name of [
      "lamella_disk_bytes",
      "lamella_blob_bytes",
      "lamella_free_bytes",
      "lamella_http_connections_total",
    ]) {
      expect([name, (value(name) ?? 0) > 0]).toEqual([name, true]);
    }
    const routes = new Set(samples.map(({ labels }) => labels["route"]).filter((route) => route !== undefined));
    for (const route of routes)
      expect(route).toMatch(/^(none|\/v2\/:name\/(blobs\/uploads|manifests)|\/images\/:name.*)$/);
  });

  it("have names that end in a unit, and all of them are in the README", async () => {
    using metrics = createMetrics();
    const names = [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name);
    for (const name of names) expect(name).toMatch(/^lamella_[a-z_]+_(seconds|bytes|total)$/);
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const documented = [...readme.matchAll(/^\| `(lamella_[a-z_]+)`/gm)].map(([, name = ""]) => name);
    expect(documented.toSorted()).toEqual(names.toSorted());
  });

  it("are not there where they are not wanted", async () => {
    await using running = await runDaemon(ANY_PORT, { metrics: false });
    expect((await fetch(`${running.daemon.url}/metrics`)).status).toBe(404);
  });

  it("count methods that nobody knows as one", async () => {
    await using running = await runDaemon();
    for (const method of ["PROPFIND", "MKCOL", "LOCK"]) await fetch(`${running.daemon.url}/x`, { method });
    const samples = samplesOf(await (await fetch(`${running.daemon.url}/metrics`)).text());
    const methods = samples
      .filter(({ name }) => name === "lamella_http_requests_total")
      .map(({ labels }) => labels["method"]);
    expect(methods).toEqual(["other"]);
  });
});

describe("the log of lamellad", () => {
  it("has the id of the build in each line of one, and no token or credentials anywhere", async () => {
    const { log, text, lines } = logToMemory();
    const options = { token: TOKEN, noToken: false, log };
    await using running = await runDaemon(ANY_PORT, options);
    const { url } = running.daemon;
    const headers = { Authorization: `Bearer ${TOKEN}` };
    await pushImage(url, "app:v1", { headers });
    const { id } = await builtOf(url, "app:v1", headers);
    await fetch(`${url}/images?token=${TOKEN}`, { headers });
    await fetch(`${url}/${TOKEN}`, {
      headers: { Authorization: `Basic ${Buffer.from(`a:${TOKEN}`).toString("base64")}` },
    });
    await fetch(`${url}/token?service=lamellad&account=a`, {
      headers: { Authorization: `Basic ${Buffer.from(`a:${TOKEN}`).toString("base64")}` },
    });
    log.error({ err: new Error(`cannot do ${TOKEN}`) }, TOKEN);
    const build = lines().filter(({ phase }) => phase !== undefined);
    expect(build.map(({ phase, message }) => `${String(phase)} ${String(message)}`)).toEqual([
      "build begun",
      "pull begun",
      "pull ended",
      "convert begun",
      "convert ended",
      "record begun",
      "record ended",
      "build ended",
    ]);
    for (const line of build) expect(line).toMatchObject({ build: id, image: "localhost/app:v1" });
    const requests = lines().filter(({ message }) => message === "answered");
    expect(requests.length).toBeGreaterThan(4);
    for (const { level } of requests) expect(level).toBe("debug");
    expect(text()).not.toContain(TOKEN);
    expect(text()).not.toMatch(/authorization|basic|bearer|account=/i);
    expect(text()).toContain("[redacted]");
  });

  it("warns of what failed, and is silent about requests unless asked", async () => {
    const { log, lines } = logToMemory("info");
    await using running = await runDaemon(ANY_PORT, { log });
    await pushImage(running.daemon.url, "bad:v1", { layer: Buffer.alloc(2048, 0x41) });
    const { id } = await builtOf(running.daemon.url, "bad:v1");
    expect(lines().some(({ message }) => message === "answered")).toBe(false);
    const failed = lines().filter(({ outcome }) => outcome === "failed");
    expect(failed.length).toBeGreaterThan(0);
    for (const line of failed) expect(line).toMatchObject({ level: "warn", build: id });
    for (const { time } of lines()) expect(new Date(String(time)).toISOString()).toBe(time);
  });
});

interface SeenSpan {
  readonly name: string;
  readonly parent: string | undefined;
  readonly attributes: Attributes;
  ended: boolean;
  code: number | undefined;
}

/** The least that a tracer provider has to be. */
function recordSpans(): { readonly spans: SeenSpan[]; readonly provider: TracerProvider } {
  const spans: SeenSpan[] = [];
  const seen = new WeakMap<object, SeenSpan>();
  const startSpan = (name: string, options: SpanOptions = {}, parent: Context = context.active()): Span => {
    const above = trace.getSpan(parent);
    const own: SeenSpan = {
      name,
      parent: above && seen.get(above)?.name,
      attributes: { ...options.attributes },
      ended: false,
      code: undefined,
    };
    spans.push(own);
    const span = {
      setAttribute: (key: string, value: string) => (own.attributes[key] = value),
      setStatus: ({ code }: { code: number }) => (own.code = code),
      end: () => (own.ended = true),
    } as unknown as Span;
    seen.set(span, own);
    return span;
  };
  return { spans, provider: { getTracer: () => ({ startSpan }) as unknown as Tracer } };
}

describe("the spans of lamellad", () => {
  it("are those of the phases, below that of their build", async () => {
    const { spans, provider } = recordSpans();
    trace.setGlobalTracerProvider(provider);
    try {
      await using running = await runDaemon();
      await pushImage(running.daemon.url, "app:v1");
      const { id } = await builtOf(running.daemon.url, "app:v1");
      const told = spans.map(({ name, parent }) => `${name} of ${parent}`);
      expect(told).toEqual([
        "lamella.build of undefined",
        "lamella.pull of lamella.build",
        "lamella.convert of lamella.build",
        "lamella.record of lamella.build",
      ]);
      for (const span of spans) {
        expect(span).toMatchObject({ ended: true, attributes: { "lamella.build": id, "lamella.outcome": "done" } });
      }
    } finally {
      trace.disable();
    }
  });

  it("say what has failed", () => {
    const { spans, provider } = recordSpans();
    trace.setGlobalTracerProvider(provider);
    try {
      const end = traceBuilds().onPhase?.({ phase: "resolve", name: "a" });
      end?.({ durationMs: 1, outcome: "failed", errorCode: "timeout" });
      expect(spans[0]).toMatchObject({ ended: true, code: 2, attributes: { "error.type": "timeout" } });
    } finally {
      trace.disable();
    }
  });
});

describe("joinHooks()", () => {
  it("calls all of them, at both ends", () => {
    const calls: string[] = [];
    const hooks = (name: string) => ({
      onPhase: () => {
        calls.push(`${name} begins`);
        return () => void calls.push(`${name} ends`);
      },
      onQueue: () => void calls.push(`${name} queue`),
    });
    const joined = joinHooks([hooks("one"), {}, hooks("two")]);
    joined.onPhase?.({ phase: "pull", name: "a" })?.({ durationMs: 1, outcome: "done" });
    joined.onQueue?.({ active: 0, pending: 0 });
    expect(calls).toEqual(["one begins", "two begins", "one ends", "two ends", "one queue", "two queue"]);
  });
});
