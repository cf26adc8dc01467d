import { statfs } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";

import type { ImageManager, ImageStore, ManagerHooks } from "@lamella/image-store";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { GaugeConfiguration } from "prom-client";

/** Of phases: half a second to an hour. */
const PHASE_BUCKETS = [0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600];
const REQUEST_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 600];
/** Measuring reads the names of all files. */
const MEASURED_MS = 30_000;
const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;

interface AnsweredRequest {
  readonly method: string;
  /** The pattern, never the path. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

/** What is counted, in a registry of its own. No label has what a client has chosen. */
export interface Metrics extends Disposable {
  readonly contentType: string;
  readonly hooks: ManagerHooks;
  answered(request: AnsweredRequest): void;
  /** A connection was cut for want of room. */
  cut(): void;
  /** Something went wrong on our side. */
  failed(): void;
  /** Tells also of these from now on. */
  watch(watched: Watched): void;
  text(): Promise<string>;
}

interface Watched {
  readonly store: ImageStore;
  readonly manager: ImageManager;
  readonly connections: () => number;
}

export function createMetrics(now: () => number = Date.now): Metrics {
  const register = new Registry();
  const registers = [register];
  const delay = monitorEventLoopDelay();
  delay.enable();
  let watched: Watched | undefined;

  const phases = new Histogram({
    name: "lamella_phase_seconds",
    help: "How long the phases of builds took: resolve, build, and of that pull, convert and record",
    labelNames: ["phase", "outcome"],
    buckets: PHASE_BUCKETS,
    registers,
  });
  const phaseErrors = new Counter({
    name: "lamella_phase_errors_total",
    help: "Phases that failed, by the code of the error",
    labelNames: ["phase", "code"],
    registers,
  });
  const queue = new Gauge({
    name: "lamella_queue_builds_total",
    help: "Builds of this daemon, active or pending, now",
    labelNames: ["status"],
    registers,
  });
  const requests = new Histogram({
    name: "lamella_http_request_seconds",
    help: "Until the answer's headers",
    labelNames: ["method", "route"],
    buckets: REQUEST_BUCKETS,
    registers,
  });
  const answers = new Counter({
    name: "lamella_http_requests_total",
    help: "Requests answered",
    labelNames: ["method", "route", "code"],
    registers,
  });
  const cuts = new Counter({
    name: "lamella_http_connections_cut_total",
    help: "Connections cut to make room for others",
    registers,
  });
  const failures = new Counter({
    name: "lamella_errors_total",
    help: "What went wrong on the daemon's side",
    registers,
  });
  const collected = (configuration: GaugeConfiguration<string>): Gauge => new Gauge(configuration);
  collected({
    name: "lamella_http_connections_total",
    help: "Connections now",
    registers,
    collect() {
      this.set(watched?.connections() ?? 0);
    },
  });
  collected({
    name: "lamella_images_total",
    help: "Images of the store that were asked for, by any daemon, now",
    labelNames: ["status"],
    registers,
    async collect() {
      if (watched === undefined) return;
      for (const [status, count] of Object.entries(await watched.manager.countByStatus())) this.set({ status }, count);
    },
  });
  const measured = (name: string, help: string, measure: (watched: Watched) => Promise<number>): void => {
    let last = Number.NEGATIVE_INFINITY;
    collected({
      name,
      help,
      registers,
      async collect() {
        if (watched === undefined || now() - last < MEASURED_MS) return;
        last = now();
        this.set(await measure(watched));
      },
    });
  };
  measured("lamella_disk_bytes", "What disks take", ({ manager }) => manager.totalImageBytes());
  measured("lamella_blob_bytes", "What blobs take", ({ manager }) => manager.totalOciCacheBytes());
  measured("lamella_free_bytes", "Left on the store's file system", async ({ store }) => {
    const { bavail, bsize } = await statfs(store.directory);
    return bavail * bsize;
  });
  collected({
    name: "lamella_process_resident_bytes",
    help: "Memory that the daemon has",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  collected({
    name: "lamella_process_cpu_seconds_total",
    help: "Processor time that the daemon has taken",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.set((user + system) / MICROSECONDS);
    },
  });
  collected({
    name: "lamella_event_loop_delay_seconds",
    help: "The 99th percentile since it was asked for last",
    registers,
    collect() {
      this.set(delay.percentile(99) / NANOSECONDS);
      delay.reset();
    },
  });

  return {
    contentType: register.contentType,
    hooks: {
      onPhase:
        ({ phase }) =>
        ({ durationMs, outcome, errorCode = "unknown" }) => {
          phases.observe({ phase, outcome }, durationMs / 1000);
          if (outcome === "failed") phaseErrors.inc({ phase, code: errorCode });
        },
      onQueue({ active, pending }) {
        queue.set({ status: "active" }, active);
        queue.set({ status: "pending" }, pending);
      },
    },
    answered({ method, route, status, seconds }) {
      requests.observe({ method, route }, seconds);
      answers.inc({ method, route, code: String(status) });
    },
    cut: () => cuts.inc(),
    failed: () => failures.inc(),
    watch(now) {
      watched = now;
    },
    text: () => register.metrics(),
    [Symbol.dispose]: () => void delay.disable(),
  };
}
