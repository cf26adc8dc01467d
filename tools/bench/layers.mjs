/**
 * `npm run bench layers`: how fast layers are read, beside tar-stream, node-tar, GNU tar and pigz.
 * Every contender reads the same files from the page cache. Those of the shell are processes, those of JavaScript functions.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

import { fixtures } from "@lamella/fixtures";
import { createLayerReader } from "@lamella/layer-format";
import { decompress } from "@lamella/layer-format/node";
import { Parser } from "tar";
import { extract } from "tar-stream";

import { writeTarOfFiles } from "./made-tars.mjs";
import { ROUNDS, takeTurns } from "./rounds.mjs";
import { shell } from "./shell.mjs";

const stream = (path) => createReadStream(path, { highWaterMark: 2 ** 20 });

/** Reads a plain or compressed layer to its end, keeping its entries as an index does. */
async function index(path) {
  const entries = [];
  const reader = createLayerReader({ entry: (entry) => entries.push(entry), contents: () => {} });
  for await (const chunk of decompress(stream(path))) reader.push(chunk);
  reader.end();
  return entries.length;
}

async function readByTarStream(path) {
  let count = 0;
  const parser = extract();
  parser.on("entry", (header, data, next) => {
    count++;
    data.on("end", next);
    data.resume();
  });
  await pipeline(stream(path), parser);
  return count;
}

async function readByNodeTar(path) {
  let count = 0;
  const parser = new Parser({
    onReadEntry(entry) {
      count++;
      entry.resume();
    },
  });
  await new Promise((resolve, reject) => {
    parser.on("end", resolve);
    parser.on("abort", reject);
    stream(path).on("error", reject).pipe(parser);
  });
  return count;
}

const listByTar = async (path) => shell(`tar -tf ${path}`).split("\n").length - 1;

const READERS = [
  ["lamella", index],
  ["tar-stream", readByTarStream],
  ["node-tar", readByNodeTar],
  ["tar -t", listByTar],
];

async function compareReaders(title, paths) {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  const megabytes = sizes.reduce((sum, size) => sum + size, 0) / 1e6;
  const counts = READERS.map(() => 0);
  const seconds = await takeTurns(
    READERS.map(([, read], at) => async () => {
      counts[at] = 0;
      for (const path of paths) counts[at] += await read(path);
    }),
  );
  console.log(`${title}, ${megabytes.toFixed(0)} MB`);
  for (const [at, [name]] of READERS.entries()) {
    const speed = `${Math.round(counts[at] / seconds[at])} entries/s  ${Math.round(megabytes / seconds[at])} MB/s`;
    console.log(`  ${name.padEnd(12)} ${counts[at]} entries  ${speed}  ratio ${(seconds[0] / seconds[at]).toFixed(2)}`);
  }
}

async function comparePeer(title, ours, script) {
  const [our, their] = await takeTurns([ours, async () => void shell(script)]);
  console.log(`${title.padEnd(52)} ${our.toFixed(2)} s  peer ${their.toFixed(2)} s  ratio ${(our / their).toFixed(2)}`);
}

/** The blobs of an image's layers, the lowest first. */
async function layerBlobs(layout, tag) {
  const json = async (path) => JSON.parse(await readFile(join(layout, path), "utf8"));
  const blob = (digest) => join("blobs", ...digest.split(":"));
  const { manifests } = await json("index.json");
  const found = manifests.find(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === tag);
  const { layers } = await json(blob(found.digest));
  return layers.map(({ digest }) => join(layout, blob(digest)));
}

export async function benchLayers() {
  const layout = (await fixtures(["node-app"])).layout("node-app");
  const gzip = await layerBlobs(layout, "latest");
  const zstd = await layerBlobs(layout, "zstd");
  const place = await mkdtemp(join(tmpdir(), "lamella-bench-"));
  try {
    const plain = gzip.map((_, at) => join(place, `${at}.tar`));
    for (const [at, path] of gzip.entries()) await pipeline(decompress(stream(path)), createWriteStream(plain[at]));
    await compareReaders("node-app's layers, uncompressed", plain);
    const tiny = join(place, "tiny.tar");
    await writeTarOfFiles(tiny, { count: 300_000, size: 10 });
    await compareReaders("300,000 files of 10 bytes", [tiny]);
    await rm(tiny);
    const large = join(place, "large.tar");
    await writeTarOfFiles(large, { count: 8, size: 64 * 2 ** 20 });
    await compareReaders("8 files of 64 MiB", [large]);
  } finally {
    await rm(place, { recursive: true });
  }
  const each = (paths, read) => async () => {
    for (const path of paths) await read(path);
  };
  const pipes = (command, paths) => paths.map((path) => `${command} ${path} | tar -t >/dev/null`).join("; ");
  // Layer by layer on both sides; the peer starts its processes for each, and nothing is hashed.
  await comparePeer("node-app, gzip: full index | pigz -dc | tar -t", each(gzip, index), pipes("pigz -dc", gzip));
  await comparePeer("node-app, zstd: full index | zstd -dcq | tar -t", each(zstd, index), pipes("zstd -dcq", zstd));
  console.log(`(Node ${process.versions.node}; each line the median of ${ROUNDS} after a warm-up, in turn)`);
}
