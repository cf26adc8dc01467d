import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { writeTar } from "@lamella/layer-format";
import { writeEstargz } from "@lamella/layer-format/node";
import { createLayerResolver, openBlobCache } from "@lamella/lazy-layer";

// An eStargz layer of a thousand files, and a registry that counts what it is asked for.
const common = { uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0, xattrs: new Map(), linkTarget: "" };
async function* files() {
  for (let number = 0; number < 1000; number++) {
    const bytes = crypto.getRandomValues(new Uint8Array(10_000));
    const contents = async function* () {
      yield bytes;
    };
    yield { ...common, path: `file-${number}`, kind: "file", mode: 0o644, size: bytes.length, contents };
  }
}
const parts = [];
const layer = await writeEstargz(writeTar(files()), { write: async (bytes) => void parts.push(bytes.slice()) });
const blob = Buffer.concat(parts);
let served = 0;
const registry = {
  async *fetchRange(_descriptor, { offset, length }) {
    served += length;
    yield blob.subarray(offset, offset + length);
  },
  async *fetch() {
    yield blob;
  },
};

const directory = await mkdtemp(join(tmpdir(), "lazy-layer-"));
const resolver = createLayerResolver({ cache: await openBlobCache(directory, { quotaBytes: 2 ** 30 }) });
try {
  const lazy = await resolver.resolve(registry, layer, { diffID: layer.diffID });
  lazy.verify(layer.tocDigest);
  const tree = await lazy.tree();
  const entry = await tree.lookup("file-500");
  let size = 0;
  for await (const chunk of tree.read(entry)) size += chunk.length;
  console.log(
    `${tree.entryCount - 1} files, ${size} bytes of one: ${Math.round((100 * served) / blob.length)} % fetched`,
  );

  await lazy.backgroundFetch();
  const { fetchedSize } = lazy.info();
  console.log(`all of it is here: ${fetchedSize === blob.length}`);
  await lazy.done();
} finally {
  await resolver.close();
  await rm(directory, { recursive: true });
}
