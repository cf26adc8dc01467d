import { gzipSync } from "node:zlib";

import { OciClientError } from "@lamella/oci-client";
import { byteString, writeTar } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
import { digestOf, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, verifyContent } from "@lamella/refs";
import type { BlobRange, Descriptor, Digest, ImageSource, RangeFetcher } from "@lamella/refs";

/** An image source in memory that counts what is asked of it and can be made to lie. */
export interface SampleSource extends ImageSource, Partial<RangeFetcher> {
  readonly fetched: Digest[];
  /** What was asked for by range. */
  readonly ranges: BlobRange[];
  readonly blobs: Map<Digest, Uint8Array>;
  readonly layers: readonly Descriptor[];
  readonly root: Descriptor;
}

export interface SampleOptions {
  /** One text file a layer. */
  layers?: readonly { path: string; text: string }[];
  /** Says that the layers have other diffIDs than they have. */
  wrongDiffIDs?: boolean;
  architecture?: string;
  /** How its containers run, in the words of a config. */
  run?: object;
  index?: boolean;
  /** Whether parts of blobs can be fetched: not at all, as they are, or only seemingly. */
  ranges?: "none" | "served" | "refused";
}

export async function sampleSource(options: SampleOptions = {}): Promise<SampleSource> {
  const { layers = [{ path: "etc/hello", text: "hello\n" }], architecture = "amd64" } = options;
  const blobs = new Map<Digest, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (mediaType: string, document: object): Descriptor =>
    add(mediaType, new TextEncoder().encode(JSON.stringify(document)));

  const tars = await Promise.all(layers.map(({ path, text }) => packTar(textFile(path, text))));
  const diffIDs = tars.map((tar) => digestOf(options.wrongDiffIDs ? Buffer.from("other") : tar));
  const rootfs = { type: "layers", diff_ids: diffIDs };
  const config = json(OCI_CONFIG, { os: "linux", architecture, rootfs, config: options.run });
  const descriptors = tars.map((tar) => add(OCI_LAYER_GZIP, gzipSync(tar)));
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: descriptors };
  let root = json(OCI_MANIFEST, manifest);
  if (options.index) {
    const manifests = [{ ...root, platform: { os: "linux", architecture } }];
    root = json(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  }
  const fetched: Digest[] = [];
  const ranges: BlobRange[] = [];
  const byRange: RangeFetcher = {
    async *fetchRange({ digest }, range) {
      ranges.push(range);
      if (options.ranges === "refused") throw new OciClientError("range_unusable", "cannot read a range: not served");
      yield* inPieces(blobs.get(digest)!.subarray(range.offset, range.offset + range.length));
    },
  };
  return {
    ...(options.ranges === undefined || options.ranges === "none" ? {} : byRange),
    ranges,
    fetched,
    blobs,
    layers: descriptors,
    root,
    resolve: async () => root,
    fetch(descriptor, call) {
      fetched.push(descriptor.digest);
      const bytes = blobs.get(descriptor.digest);
      if (bytes === undefined) throw new Error(`${descriptor.digest} was not there`);
      return verifyContent(descriptor, inPieces(bytes), call);
    },
  };
}

function textFile(path: string, text: string): TarInput {
  const bytes = new TextEncoder().encode(text);
  return {
    path: byteString(path),
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: bytes.length,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    async *contents() {
      yield bytes;
    },
  };
}

async function packTar(...entries: TarInput[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(asyncly(entries))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50) yield bytes.subarray(at, at + 50);
}

async function* asyncly<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
