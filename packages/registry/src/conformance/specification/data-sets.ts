import { digestOf, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_LAYER_GZIP, OCI_LAYER_TAR, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor, Digest, DigestAlgorithm } from "@lamella/refs";

import { bytesOf } from "../client.js";
import { newBytes } from "./probe.js";

/** A manifest or an index to push, after what it refers to. */
export interface SetDocument {
  readonly bytes: Uint8Array;
  readonly descriptor: Descriptor;
  readonly subject: Digest | undefined;
  /** What its subject's referrers list it as. */
  readonly listedAs: Descriptor;
}

/** Blobs and documents; the last document is what they are for. */
export interface DataSet {
  readonly algorithm: DigestAlgorithm;
  readonly blobs: Uint8Array[];
  readonly documents: SetDocument[];
}

const ARTIFACT_TYPE = "application/vnd.example.conformance.v1";
const OTHER_ARTIFACT_TYPE = "application/vnd.example.conformance.v2";
const NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const LARGE_BYTES = 3_900_000;

/** What people push, by what it is called. */
export const DATA_SETS: Readonly<Record<string, (set: SetBuilder) => void>> = {
  image: (set) => void image(set),
  "image of an uncompressed layer": (set) => void image(set, { layers: [set.blob(newBytes(300), OCI_LAYER_TAR)] }),
  "image with a manifest of nearly 4 MB": (set) => {
    void image(set, { annotations: { "org.example.large": "x".repeat(LARGE_BYTES) } });
  },
  "image without layers": (set) => void image(set, { layers: [] }),
  "image with the data field": (set) => {
    const config = bytesOf(`{"created":"${globalThis.crypto.randomUUID()}"}`);
    const data = Buffer.from(config).toString("base64");
    void image(set, { config: { ...set.blob(config, OCI_CONFIG), data } });
  },
  "image with layers that no registry holds": (set) => {
    const elsewhere = {
      ...describe(set.algorithm, newBytes(10), NONDISTRIBUTABLE),
      urls: ["https://example.com/layer"],
    };
    void image(set, { layers: [elsewhere, set.blob(newBytes(300), OCI_LAYER_GZIP)] });
  },
  "image with fields that nobody knows": (set) => {
    void image(set, { "org.example.extra": { deep: [1, 2, 3] }, annotations: { "org.example.a": "b" } });
  },
  index: (set) => void index(set, [image(set), image(set)]),
  "index of indexes": (set) => void index(set, [index(set, [image(set)]), index(set, [image(set), image(set)])]),
  "index of nothing": (set) => void index(set, []),
  artifact: (set) => void artifact(set),
  "artifact without content": (set) => {
    const empty = set.blob(bytesOf("{}"), OCI_EMPTY);
    void set.manifest({ artifactType: ARTIFACT_TYPE, config: empty, layers: [empty] });
  },
  "index of artifacts": (set) => void index(set, [artifact(set), artifact(set)], { artifactType: ARTIFACT_TYPE }),
  "image with referrers": (set) => {
    const subject = image(set);
    void image(set, { subject });
    void artifact(set, { subject, annotations: { "org.example.order": "1" } });
    void artifact(set, { subject, artifactType: OTHER_ARTIFACT_TYPE, annotations: { "org.example.order": "2" } });
    void index(set, [], { subject });
  },
  "index with a referrer that is an index": (set) => {
    const subject = index(set, [image(set)]);
    void index(set, [artifact(set)], {
      subject,
      artifactType: ARTIFACT_TYPE,
      annotations: { "org.example.of": "index" },
    });
  },
  "artifact of a subject that nobody pushed": (set) => {
    void artifact(set, { subject: describe(set.algorithm, newBytes(10), OCI_MANIFEST) });
  },
};

type Fields = Readonly<Record<string, unknown>>;

function image(set: SetBuilder, fields: Fields = {}): Descriptor {
  const config = set.blob(bytesOf(`{"created":"${globalThis.crypto.randomUUID()}"}`), OCI_CONFIG);
  const layers = [set.blob(newBytes(300), OCI_LAYER_GZIP), set.blob(newBytes(500), OCI_LAYER_GZIP)];
  return set.manifest({ config, layers, ...fields });
}

function artifact(set: SetBuilder, fields: Fields = {}): Descriptor {
  const config = set.blob(bytesOf("{}"), OCI_EMPTY);
  const layers = [set.blob(newBytes(300), ARTIFACT_TYPE)];
  return set.manifest({ artifactType: ARTIFACT_TYPE, config, layers, ...fields });
}

function index(set: SetBuilder, manifests: readonly Descriptor[], fields: Fields = {}): Descriptor {
  return set.index({ manifests, ...fields });
}

/** Takes what a data set is made of, in the order in which it is pushed. */
export interface SetBuilder {
  readonly algorithm: DigestAlgorithm;
  blob(bytes: Uint8Array, mediaType: string): Descriptor;
  manifest(fields: Fields): Descriptor;
  index(fields: Fields): Descriptor;
}

export function buildDataSet(algorithm: DigestAlgorithm, fill: (set: SetBuilder) => void): DataSet {
  const blobs: Uint8Array[] = [];
  const documents: SetDocument[] = [];

  function document(mediaType: string, fields: Fields): Descriptor {
    const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }));
    const descriptor = describe(algorithm, bytes, mediaType);
    const {
      subject,
      config,
      artifactType = config?.mediaType,
      annotations,
    } = fields as Partial<{
      subject: Descriptor;
      config: Descriptor;
      artifactType: string;
      annotations: Record<string, string>;
    }>;
    const listedAs = {
      ...descriptor,
      ...(artifactType !== undefined && { artifactType }),
      ...(annotations !== undefined && { annotations }),
    };
    documents.push({ bytes, descriptor, subject: subject?.digest, listedAs });
    return descriptor;
  }

  fill({
    algorithm,
    blob(bytes, mediaType) {
      blobs.push(bytes);
      return describe(algorithm, bytes, mediaType);
    },
    manifest: (fields) => document(OCI_MANIFEST, fields),
    index: (fields) => document(OCI_INDEX, fields),
  });
  return { algorithm, blobs, documents };
}

function describe(algorithm: DigestAlgorithm, bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes, algorithm), size: bytes.length };
}
