/**
 * `npm run bench store`: what a store of 10,000 images of 20 shared layers answers, and how long a command takes that reads one image.
 * The limits are what is promised; nothing here decides a test.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { openImageStore } from "@lamella/image-store";

import { takeTurns } from "./rounds.mjs";

const LAMELLA = fileURLToPath(import.meta.resolve("../../apps/cli/dist/lamella.mjs"));
const IMAGES = 10_000;
const LAYERS = 20;
const POOL = 200;
const BATCH = 500;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

const digest = (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const nameOf = (image) => `registry.example.com/team/app-${image}:v1`;

export async function benchStore() {
  const directory = mkdtempSync(join(tmpdir(), "bench-store-"));
  try {
    await fill(directory);
    const opened = await measure(async () => (await openImageStore(directory))[Symbol.asyncDispose]());
    const store = await openImageStore(directory);
    let listed = 0;
    const list = await measure(async () => {
      listed = 0;
      for await (const image of store.list()) listed += image.names.length;
    });
    const get = await measure(() => store.get(nameOf(4321)));
    const short = await measure(() => store.get(digest("manifest 1234").slice(7, 19)));
    let tagged = 0;
    const tag = await measure(() => store.tag(`bench:${tagged++}`, nameOf(tagged)));
    const flush = await measure(async () => {
      await store.tag(`bench:${tagged++}`, nameOf(tagged));
      await store.flush();
    });
    const usage = await measure(() => store.usage());
    await store[Symbol.asyncDispose]();
    const bare = await measure(() => execFileSync(process.execPath, ["-e", "0"]));
    const command = await measure(async () => {
      execFileSync(process.execPath, [LAMELLA, "images", nameOf(4321), "--root", directory]);
    });
    console.log(`${IMAGES} images of ${LAYERS} of ${POOL} layers, ${listed} names`);
    line("open the store", opened);
    line("list all images", list, 100);
    line("get one by name", get);
    line("get one by short digest", short);
    line("tag", tag, 10);
    line("tag, and index.json written", flush);
    line("usage of all images", usage);
    line("a command that reads one image", command, 150);
    line("  of it Node itself", bare);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function measure(work) {
  const [seconds] = await takeTurns([async () => void (await work())]);
  return seconds * 1000;
}

function line(title, ms, limitMs) {
  const limit = limitMs === undefined ? "" : `  of at most ${limitMs} ms`;
  console.log(`${title.padEnd(34)} ${ms.toFixed(1).padStart(7)} ms${limit}`);
}

async function fill(directory) {
  const store = await openImageStore(directory);
  const config = {
    os: "linux",
    architecture: "amd64",
    created: "2026-01-01T00:00:00Z",
    config: {
      entrypoint: ["/usr/bin/app"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
      labels: { "org.opencontainers.image.source": "https://example.com/team/app" },
    },
  };
  for (let first = 0; first < IMAGES; first += BATCH) {
    await store.database.write(async (queries) => {
      const numbers = Array.from({ length: BATCH }, (_, at) => first + at);
      const now = Date.now();
      const insert = (table, rows) => queries.insertInto(table).values(rows).execute();
      const of = (image) => ({ mediaType: MANIFEST, digest: digest(`manifest ${image}`), size: 4000 });
      await insert(
        "images",
        numbers.map((image) => ({
          manifest_digest: of(image).digest,
          descriptor: JSON.stringify(of(image)),
          platform: "linux/amd64",
          config_digest: digest(`config ${image}`),
          config_size_bytes: 3000,
          config: JSON.stringify(config),
          size_bytes: 7000 + LAYERS * 1e6,
          created_at: now,
        })),
      );
      await insert(
        "image_roots",
        numbers.map((image) => ({ root_digest: of(image).digest, manifest_digest: of(image).digest })),
      );
      await insert(
        "tags",
        numbers.map((image) => ({
          name: nameOf(image),
          descriptor: JSON.stringify(of(image)),
          root_digest: of(image).digest,
          scope: "registry",
          created_at: now,
          updated_at: now,
        })),
      );
      for (const image of numbers) {
        const layers = Array.from({ length: LAYERS }, (_, position) => (image * 7 + position) % POOL);
        await insert(
          "image_layers",
          layers.map((layer, position) => ({
            manifest_digest: of(image).digest,
            position,
            digest: digest(`layer ${layer}`),
            media_type: LAYER,
            size_bytes: 1e6,
            diff_id: digest(`tar ${layer}`),
          })),
        );
      }
      await queries
        .updateTable("layout")
        .set({ wanted: first + 2 })
        .execute();
    });
  }
  await store[Symbol.asyncDispose]();
}
