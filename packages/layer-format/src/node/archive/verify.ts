import { createHash } from "node:crypto";
import { resolve } from "node:path";

import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { LayerEntry } from "../../layer.js";
import { IndexBuilder } from "./builder.js";
import type { ContentsReader } from "./contents.js";
import { decodeEntries, storedBytes } from "./decoder.js";
import { invalidIndex, type ArchiveSummary } from "./footer.js";
import { layerHash } from "./hash.js";
import { HASH_BYTES } from "./layout.js";
import type { PageReader } from "./pages.js";
import { openArchive, refuseArchive } from "./reader.js";

/**
 * Reads all of a layer archive and proves it whole: every file's data has its content hash, the index is, byte for byte, the one
 * that its entries make, and the layer hash is theirs. It does not prove the diffID, which is of a tar that is not kept.
 *
 * @returns what the archive says of itself
 * @throws {LayerFormatError} `archive_invalid` for the first thing that is wrong, naming the entry if it is one's data.
 */
export async function verifyLayer(directory: string, options: CallOptions = {}): Promise<ArchiveSummary> {
  const { index, indexHandle, contents } = await openArchive(directory, options);
  try {
    const builder = new IndexBuilder();
    await verifyContents(index, contents, builder, options);
    const order = builder.canonicalOrder();
    await verifyIndex(index, builder.sections(order), options);
    const { diffID, layerHash: expected, entryCount, contentsBytes, tarBytes } = index.footer;
    const found = layerHash(builder, order);
    if (found !== expected) invalidIndex(`its layer hash is ${expected}, that of its entries ${found}`);
    return { diffID, layerHash: expected, entryCount, contentsBytes, tarBytes };
  } catch (error) {
    return refuseArchive(resolve(directory), error);
  } finally {
    await contents.close();
    await indexHandle.close();
  }
}

/** Reads every file's data, gives the builder each entry with its hash, and compares the hash with the index's. */
async function verifyContents(
  index: PageReader,
  contents: ContentsReader,
  builder: IndexBuilder,
  options: CallOptions,
): Promise<void> {
  const { places, footer } = index;
  for await (const batch of decodeEntries(index.stream(places.bodies, places.hashes, options), footer)) {
    for (const entry of batch) {
      const position = builder.add(entry);
      if (entry.kind !== "file") continue;
      const found = await hashData(contents, entry, options);
      const expected = await index.read(places.hashes + HASH_BYTES * position, HASH_BYTES, options);
      if (!found.equals(expected)) {
        throw new LayerFormatError(
          "archive_invalid",
          `the data of "${displayPath(entry.path)}" has the digest sha256:${found.toString("hex")}, not sha256:${expected.toString("hex")}`,
        );
      }
      builder.setHash(position, found);
    }
  }
}

async function hashData(contents: ContentsReader, entry: LayerEntry, options: CallOptions): Promise<Buffer> {
  const hash = createHash("sha256");
  for await (const chunk of contents.read(entry.contentOffset, storedBytes(entry), options)) hash.update(chunk);
  return hash.digest();
}

/** Compares what the builder makes with what the index has. */
async function verifyIndex(index: PageReader, sections: Iterable<Uint8Array>, options: CallOptions): Promise<void> {
  const { places } = index;
  const stored = index.stream(places.bodies, places.end, options);
  let there: Buffer = Buffer.alloc(0);
  for (const section of sections) {
    for (let made = section; made.length > 0;) {
      if (there.length === 0) {
        const next = await stored.next();
        if (next.done === true) invalidIndex("it is shorter than what its entries make");
        there = next.value;
      }
      const length = Math.min(made.length, there.length);
      if (Buffer.compare(made.subarray(0, length), there.subarray(0, length)) !== 0)
        invalidIndex("it is not what its entries make");
      made = made.subarray(length);
      there = there.subarray(length);
    }
  }
  const more = await stored.next();
  if (there.length > 0 || more.done !== true) invalidIndex("it is longer than what its entries make");
}
