/**
 * `npm run bench store`: what a store of 1,000, 3,000 and 10,000 images of 20 shared layers answers, how long garbage collection takes, and
 * a command that reads one image. The limits are what is promised of the largest; nothing here decides a test.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { openImageStore } from "@lamella/image-store";

import { takeTurns } from "./rounds.mjs";

const LAMELLA = fileURLToPath(import.meta.resolve("../../apps/cli/dist/lamella.mjs"));
const FIRST_LIST = fileURLToPath(import.meta.resolve("./store-first-list.mjs"));
const SIZES = [1000, 3000, 10_000];
const LAYERS = 20;
const POOL = 200;
const BATCH = 500;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

const nameOf = (image) => `registry.example.com/team/app-${image}:v1`;

export async function benchStore() {
  const directory = mkdtempSync(join(tmpdir(), "bench-store-"));
  try {
    console.log(`garbage collection of a store whose images have ${LAYERS} of ${POOL} layers`);
    let images = 0;
    for (const size of SIZES) {
      await fill(directory, { first: images, count: size - images, named: true });
      images = size;
      await benchGc(directory, images);
    }
    console.log(`\n${images} images of ${LAYERS} of ${POOL} layers`);
    await benchAnswers(directory);
    await benchCommand(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** All that is there is looked at, then a tenth more is garbage. */
async function benchGc(directory, images) {
  const kept = 2 * images + POOL;
  const store = await openImageStore(directory);
  const marked = await measure(async () => expectRemoved(await store.gc({ graceMs: 0 }), 0));
  await store[Symbol.asyncDispose]();
  const garbage = images / 10;
  await fill(directory, { first: 10 * SIZES.at(-1), count: garbage, named: false });
  const again = await openImageStore(directory);
  const started = performance.now();
  expectRemoved(await again.gc({ graceMs: 0 }), 2 * garbage);
  const swept = performance.now() - started;
  await again[Symbol.asyncDispose]();
  const each = (ms, count) => `${((1000 * ms) / count).toFixed(0)} µs each`;
  line(`${kept} blobs, nothing to remove`, marked, each(marked, kept));
  line(`${2 * garbage} more, all removed`, swept, each(swept, kept + 2 * garbage));
}

function expectRemoved({ removed }, count) {
  if (removed.length !== count)
    throw new Error(`garbage collection removed ${removed.length} files instead of ${count}`);
}

async function benchAnswers(directory) {
  line("the first list of all, after start", await measureFirstList(directory), limit(100));
  const opened = await measure(async () => (await openImageStore(directory))[Symbol.asyncDispose]());
  line("open the store", opened);
  const store = await openImageStore(directory);
  const list = await measure(async () => {
    let names = 0;
    for await (const image of store.list()) names += image.names.length;
    if (names < SIZES.at(-1)) throw new Error(`the list has ${names} names`);
  });
  line("list all images", list, limit(100));
  line("get one by name", await measure(() => store.get(nameOf(4321))));
  const { digest } = await store.get(nameOf(1234));
  line("get one by short digest", await measure(() => store.get(digest.slice(7, 19))));
  let tagged = 0;
  const tag = () => store.tag(`bench:${tagged++}`, nameOf(tagged));
  line("tag", await measure(tag), limit(10));
  line("tag, and index.json written", await measure(async () => tag().then(() => store.flush())));
  line("usage of all images", await measure(() => store.usage()));
  await store[Symbol.asyncDispose]();
}

async function benchCommand(directory) {
  // Node reads what this names whenever it starts, which takes as long as the command
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const run = (...args) => execFileSync(process.execPath, args, { env });
  const [bare, command] = await takeTurns(
    [async () => run("-e", "0"), async () => run(LAMELLA, "images", nameOf(4321), "--root", directory)],
    undefined,
    15,
  );
  line("a command that reads one image", 1000 * command, limit(150));
  line("node -e 0", 1000 * bare, `the command takes ${(command / bare).toFixed(1)} times as long`);
}

/** Each in a process of its own, which tells how long it took. */
async function measureFirstList(directory) {
  const times = Array.from({ length: 5 }, () =>
    Number(execFileSync(process.execPath, [FIRST_LIST, directory], { encoding: "utf8" })),
  );
  return times.toSorted((a, b) => a - b)[2];
}

async function measure(work) {
  const [seconds] = await takeTurns([async () => void (await work())]);
  return seconds * 1000;
}

function limit(ms) {
  return `of at most ${ms} ms`;
}

function line(title, ms, note = "") {
  console.log(`${title.padEnd(36)} ${ms.toFixed(1).padStart(7)} ms  ${note}`.trimEnd());
}

/** Adds images as pulls would have left them, without the waiting for the disk; their layers' archives are not made. */
async function fill(directory, { first, count, named }) {
  const store = await openImageStore(directory);
  const layers = Array.from({ length: POOL }, (_, at) => put(store, LAYER, `layer ${at}`));
  for (let from = first; from < first + count; from += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, first + count - from) }, (_, at) => from + at);
    const images = numbers.map((number) => makeImage(store, number, layers));
    await store.database.write(async (queries) => {
      const insert = (table, rows) => queries.insertInto(table).values(rows).execute();
      await insert(
        "images",
        images.map(({ row }) => row),
      );
      await insert(
        "image_roots",
        images.map(({ manifest: { digest } }) => ({ root_digest: digest, manifest_digest: digest })),
      );
      for (const { rows } of images) await insert("image_layers", rows);
      if (!named) return;
      await insert(
        "tags",
        images.map(({ number, row, manifest }) => ({
          name: nameOf(number),
          descriptor: row.descriptor,
          root_digest: manifest.digest,
          scope: "registry",
          created_at: row.created_at,
          updated_at: row.created_at,
        })),
      );
      await queries
        .updateTable("layout")
        .set({ wanted: from + 2 })
        .execute();
    });
  }
  await store[Symbol.asyncDispose]();
}

function makeImage(store, number, pool) {
  const layers = Array.from({ length: LAYERS }, (_, position) => pool[(number * 7 + position) % POOL]);
  const diffIDs = layers.map(({ digest }) => digestOf(`tar of ${digest}`));
  const platform = { os: "linux", architecture: "amd64" };
  const run = {
    Entrypoint: ["/usr/bin/app"],
    Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
    Labels: { "org.opencontainers.image.source": `https://example.com/team/app-${number}` },
  };
  const rootfs = { type: "layers", diff_ids: diffIDs };
  const config = put(store, CONFIG, JSON.stringify({ ...platform, config: run, rootfs }));
  const manifest = put(store, MANIFEST, JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config, layers }));
  const { Entrypoint: entrypoint, Env: env, Labels: labels } = run;
  return {
    number,
    manifest,
    row: {
      manifest_digest: manifest.digest,
      descriptor: JSON.stringify(manifest),
      platform: "linux/amd64",
      config_digest: config.digest,
      config_size_bytes: config.size,
      config: JSON.stringify({ ...platform, config: { entrypoint, env, labels } }),
      size_bytes: [manifest, config, ...layers].reduce((sum, { size }) => sum + size, 0),
      created_at: Date.now(),
    },
    rows: layers.map(({ digest, mediaType, size }, position) => ({
      manifest_digest: manifest.digest,
      position,
      digest,
      media_type: mediaType,
      size_bytes: size,
      diff_id: diffIDs[position],
    })),
  };
}

function put(store, mediaType, text) {
  const digest = digestOf(text);
  writeFileSync(store.content.blobPath(digest), text);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

function digestOf(text) {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
