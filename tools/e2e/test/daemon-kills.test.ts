import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { startRegistry } from "@lamella/fixtures";
import type { RunningRegistry } from "@lamella/fixtures";
import { startFaultProxy } from "@lamella/oci-client/testing";
import type { FaultProxy } from "@lamella/oci-client/testing";
import { missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { digestOf, ownLayer, pushMade } from "./daemon-images.js";
import type { MadeFile } from "./daemon-images.js";
import { startLamellad } from "./daemon-process.js";
import type { DaemonProcess, ImageDocument } from "./daemon-process.js";

/** `LAMELLA_DAEMON_KILLS=20 npx vitest run test/daemon-kills.test.ts`: 50 images, and so many kills. */
const ASKED = process.env["LAMELLA_DAEMON_KILLS"];
const KILLS = ASKED === undefined ? 2 : Number(ASKED);
const IMAGES = ASKED === undefined ? 10 : 50;
const PUSHERS = 3;
/** Before every answer of the registry, so that builds last and a kill finds many of them waiting. */
const LATENCY_MS = 150;
const LAYER_BYTES = 200_000;
const KILL_SPREAD_MS = 1000;
const POLL_MS = 20;

const reason = missing(["docker-registry"]);

/** What the daemon has said that it has; none of it may be lost. */
interface Acknowledged {
  /** Builds by their images' names, in the order in which they were asked for. */
  readonly builds: Map<string, number>;
  /** The keys of disks by the name of an image that was ready. */
  readonly ready: Map<string, string>;
  /** Digests of manifests by `repository:tag`. */
  readonly pushed: Map<string, string>;
}

describe.skipIf(reason !== undefined)(
  `lamellad, killed while it builds and is pushed to (${reason ?? "kill -9"})`,
  () => {
    let work = "";
    let registry: RunningRegistry;
    let proxy: FaultProxy;
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-daemon-kills-"));
      await mkdir(join(work, "registry"));
      registry = await startRegistry({ data: join(work, "registry"), readOnly: false });
      const base = ownLayer("base", LAYER_BYTES);
      for (let number = 0; number < IMAGES; number++) {
        await pushMade(`${registry.address}/app-${number}:v1`, [base, ownLayer(`own-${number}`, LAYER_BYTES)]);
      }
      const faults = [{ action: { kind: "delay", ms: LATENCY_MS } }] as const;
      proxy = await startFaultProxy({ upstream: `http://${registry.address}`, faults });
    });
    afterAll(async () => {
      await proxy?.close();
      await registry?.close();
      await rm(work, { recursive: true, force: true });
    });

    it(`resumes in its order and loses nothing, ${KILLS} times`, async () => {
      const known: Acknowledged = { builds: new Map(), ready: new Map(), pushed: new Map() };
      const root = join(work, "store");
      for (let kill = 1; kill <= KILLS; kill++) {
        const daemon = await startLamellad({ root });
        try {
          await requireKept(daemon, known);
          const { queue, inTheMiddle } = await workUntilKilled(daemon, known, kill);
          const figures = `${known.builds.size} builds asked for, ${known.ready.size} seen ready, ${known.pushed.size} pushed`;
          console.log(`kill ${kill}: ${queue} waited or were built, ${inTheMiddle} answers broken off; ${figures}`);
        } finally {
          await daemon.kill();
        }
      }
      await using daemon = await startLamellad({ root });
      await requireKept(daemon, known);
      for (const name of wanted()) await ask(daemon, known, name);
      for (const name of [...known.builds.keys(), ...[...known.pushed.keys()].map(nameOfPushed)]) {
        expect(await daemon.ended(name)).toMatchObject({ name, status: "ready", error: null });
      }
      await requireKept(daemon, known);
      expect(await daemon.ask("POST", "/check", {})).toMatchObject({ findings: [] });
      const images = await daemon.ask<ImageDocument[]>("GET", "/images");
      console.log(`after ${KILLS} kills: ${images.length} images ready, ${known.pushed.size} of them pushed`);
      // what was pushed to its end, but not acknowledged before the kill, may be there too
      expect(images.length).toBeGreaterThanOrEqual(IMAGES + known.pushed.size);
      expect(images.filter(({ status }) => status !== "ready")).toEqual([]);
    });

    const wanted = (): string[] => Array.from({ length: IMAGES }, (_, number) => `${proxy.host}/app-${number}:v1`);

    /** Asks for all images one after another, pushes others, and looks how far they are, until the daemon is killed in the midst of it. */
    async function workUntilKilled(
      daemon: DaemonProcess,
      known: Acknowledged,
      kill: number,
    ): Promise<{ queue: number; inTheMiddle: number }> {
      let inTheMiddle = 0;
      const killing = new AbortController();
      const untilKilled = async (step: () => Promise<void>): Promise<void> => {
        try {
          while (!killing.signal.aborted) await step();
        } catch (error) {
          // only what the kill has broken off
          if (!killing.signal.aborted) throw error;
          inTheMiddle++;
        }
      };
      const names = wanted().filter((name) => !known.builds.has(name));
      const before = { ready: known.ready.size, pushed: known.pushed.size };
      let queue = 0;
      const clients = [
        untilKilled(async () => {
          const name = names.shift();
          if (name === undefined) await sleep(POLL_MS);
          else await ask(daemon, known, name);
        }),
        untilKilled(async () => {
          const images = await daemon.ask<ImageDocument[]>("GET", "/images");
          queue = images.filter((image) => image.queue_position !== null).length;
          for (const image of images) {
            expect(image.status, image.error ?? "").not.toBe("failed");
            if (image.status === "ready") known.ready.set(image.name, keyOf(image));
          }
          await sleep(50);
        }),
        ...Array.from({ length: PUSHERS }, (_, pusher) => {
          let pushed = 0;
          return untilKilled(async () => {
            const name = `pushed-${pusher}:v${kill}-${pushed++}`;
            const files: readonly MadeFile[] = ownLayer(`of-${pusher}-${kill}-${pushed}`, LAYER_BYTES);
            known.pushed.set(name, await pushMade(`${daemon.host}/${name}`, [files]));
            await sleep(200);
          });
        }),
      ];
      // each kill finds more than the one before: some are ready, some are built, others wait
      const wantedBuilds = Math.ceil((IMAGES * kill) / (KILLS + 1));
      const isAmid = (): boolean =>
        known.builds.size >= wantedBuilds &&
        known.ready.size > before.ready &&
        known.pushed.size > before.pushed &&
        queue > 0;
      const killed = async (): Promise<void> => {
        while (!isAmid()) await sleep(POLL_MS, undefined, { signal: killing.signal });
        await sleep(Math.random() * KILL_SPREAD_MS);
        killing.abort();
        await daemon.kill();
      };
      try {
        await Promise.all([...clients, killed()]);
      } finally {
        killing.abort();
      }
      return { queue, inTheMiddle };
    }

    async function ask(daemon: DaemonProcess, known: Acknowledged, name: string): Promise<void> {
      const { id } = await daemon.ask<ImageDocument>("POST", "/images", { name });
      if (!known.builds.has(name)) known.builds.set(name, id);
      expect([name, id]).toEqual([name, known.builds.get(name)]);
    }
  },
);

/** That all there was is there, and that what has not ended is in the queue, in the order in which it was asked for. */
async function requireKept(daemon: DaemonProcess, known: Acknowledged): Promise<void> {
  const { images: queued } = await daemon.ask<{ images: ImageDocument[] }>("GET", "/queue");
  const images = new Map((await daemon.ask<ImageDocument[]>("GET", "/images")).map((image) => [image.name, image]));
  const ids = queued.map(({ id }) => id);
  expect(ids).toEqual(ids.toSorted((one, other) => one - other));
  for (const [name, id] of known.builds) {
    const image = images.get(name);
    expect(image?.id, name).toBe(id);
    // between the two answers it may have become ready
    expect(image?.status === "ready" || ids.includes(id), `${name} is ${image?.status}`).toBe(true);
  }
  for (const [name, key] of known.ready) {
    const image = await daemon.ask<ImageDocument>("GET", `/images/${encodeURIComponent(name)}`);
    expect(image).toMatchObject({ name, status: "ready" });
    expect(keyOf(image)).toBe(key);
    const response = await fetch(`${daemon.url}/disks/${key}`, { method: "HEAD" });
    expect(Number(response.headers.get("content-length"))).toBe(image.disks.at(-1)!.size_bytes);
  }
  for (const [name, digest] of known.pushed) await requirePushed(daemon, name, digest);
}

async function requirePushed(daemon: DaemonProcess, name: string, digest: string): Promise<void> {
  const [repository = "", tag = ""] = name.split(":");
  const bytesOf = async (path: string): Promise<Buffer> => {
    const response = await fetch(`${daemon.url}/v2/${repository}/${path}`);
    expect([path, response.status]).toEqual([path, 200]);
    return Buffer.from(await response.arrayBuffer());
  };
  const manifest = await bytesOf(`manifests/${tag}`);
  expect(digestOf(manifest)).toBe(digest);
  const { config, layers } = JSON.parse(manifest.toString()) as Record<"config", { digest: string }> & {
    layers: { digest: string }[];
  };
  for (const blob of [config, ...layers]) expect(digestOf(await bytesOf(`blobs/${blob.digest}`))).toBe(blob.digest);
}

function keyOf({ disks }: ImageDocument): string {
  return disks.at(-1)?.key ?? "";
}

function nameOfPushed(name: string): string {
  return `localhost/${name}`;
}
