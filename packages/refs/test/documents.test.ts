import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  detectMediaType,
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  layerCompression,
  isNondistributableType,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_LAYER_ZSTD,
  OCI_MANIFEST,
  pairLayers,
  parseImageConfig,
  parseIndex,
  parseManifest,
  RefsError,
} from "../src/index.js";

const DIGEST = `sha256:${"a".repeat(64)}`;
const layer = (extra: object = {}) => ({ mediaType: OCI_LAYER_GZIP, digest: DIGEST, size: 10, ...extra });
const manifest = (extra: object = {}) => ({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: OCI_CONFIG, digest: DIGEST, size: 2 },
  layers: [layer()],
  ...extra,
});
const index = (extra: object = {}) => ({
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests: [{ mediaType: OCI_MANIFEST, digest: DIGEST, size: 2 }],
  ...extra,
});
const config = (extra: object = {}) => ({
  os: "linux",
  architecture: "amd64",
  rootfs: { type: "layers", diff_ids: [DIGEST] },
  ...extra,
});

const bytesOf = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const invalid = (message?: string) =>
  expect.objectContaining({
    code: "document_invalid",
    ...(message !== undefined && { message: expect.stringContaining(message) }),
  });

describe("parseManifest()", () => {
  it("reads OCI and Docker manifests", () => {
    expect(parseManifest(bytesOf(manifest()), OCI_MANIFEST)).toEqual({
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: DIGEST, size: 2 },
      layers: [{ mediaType: OCI_LAYER_GZIP, digest: DIGEST, size: 10 }],
    });
    const docker = manifest({
      mediaType: DOCKER_MANIFEST,
      config: { mediaType: DOCKER_CONFIG, digest: DIGEST, size: 2 },
      layers: [{ mediaType: DOCKER_LAYER_GZIP, digest: DIGEST, size: 10 }],
    });
    expect(parseManifest(bytesOf(docker), DOCKER_MANIFEST).mediaType).toBe(DOCKER_MANIFEST);
  });

  it("keeps urls, data, annotations, subject and artifactType, and ignores unknown fields", () => {
    const full = layer({
      urls: ["https://a.b/x"],
      data: "e30=",
      annotations: { a: "b" },
      artifactType: "x/y",
      other: 1,
    });
    const parsed = parseManifest(
      bytesOf(manifest({ layers: [full], subject: layer(), artifactType: "a/b", annotations: { k: "v" }, x: {} })),
    );
    expect(parsed.layers[0]).toEqual({ ...full, other: undefined });
    expect(parsed).toMatchObject({ subject: layer(), artifactType: "a/b", annotations: { k: "v" } });
    expect(parsed).not.toHaveProperty("x");
  });

  it("keeps both positions of a layer that stands twice", () => {
    expect(parseManifest(bytesOf(manifest({ layers: [layer(), layer()] }))).layers).toHaveLength(2);
  });

  it("takes null for absent, as Go writes it", () => {
    expect(
      parseManifest(bytesOf(manifest({ layers: null, annotations: null, subject: null, mediaType: null }))).layers,
    ).toEqual([]);
  });

  it("accepts 127 layers and refuses 5,000", () => {
    expect(
      parseManifest(bytesOf(manifest({ layers: Array.from({ length: 127 }, () => layer()) }))).layers,
    ).toHaveLength(127);
    expect(() => parseManifest(bytesOf(manifest({ layers: Array.from({ length: 5000 }, () => layer()) })))).toThrow(
      invalid("layers has 5000 members, the limit is 1024"),
    );
  });

  it.each([
    ["layers and manifests together", manifest({ manifests: [] }), "stand together"],
    ["an index", index(), "not the type of an image manifest"],
    ["schema 1", manifest({ schemaVersion: 1 }), "schemaVersion is not 2"],
    ["no config", manifest({ config: undefined }), "config is missing"],
    ["layers that are no array", manifest({ layers: {} }), "layers is not an array"],
    ["a layer that is no object", manifest({ layers: [1] }), "layers[0] is not an object"],
    ["a path as digest", manifest({ layers: [layer({ digest: "sha256:../../x" })] }), "layers[0].digest"],
    ["an upper-case digest", manifest({ layers: [layer({ digest: `sha256:${"A".repeat(64)}` })] }), "layers[0].digest"],
    ["md5", manifest({ layers: [layer({ digest: `md5:${"a".repeat(32)}` })] }), "layers[0].digest"],
    ["a negative size", manifest({ layers: [layer({ size: -1 })] }), "layers[0].size"],
    ["a size of 2^60", manifest({ layers: [layer({ size: 2 ** 60 })] }), "layers[0].size"],
    ["a size with a fraction", manifest({ layers: [layer({ size: 0.5 })] }), "layers[0].size"],
    ["a size in a string", manifest({ layers: [layer({ size: "10" })] }), "layers[0].size"],
    [
      "a media type with a line break",
      manifest({ layers: [layer({ mediaType: "a/b\r\nX: y" })] }),
      "layers[0].mediaType",
    ],
    ["urls that are no strings", manifest({ layers: [layer({ urls: [1] })] }), "urls[0]"],
    ["annotations that are no strings", manifest({ annotations: { a: 1 } }), "annotations"],
    ["an array", [], "it is not an object"],
    ["null", "null", "it is not an object"],
    ["no JSON", "{", "not JSON"],
    ["nothing", "", "not JSON"],
    ["a byte order mark", `\uFEFF${JSON.stringify(manifest())}`, "not JSON"],
  ])("refuses %s", (_, document, message) => {
    expect(() => parseManifest(bytesOf(document))).toThrow(invalid(message));
  });

  it("refuses a document whose media type is not the promised one", () => {
    expect(() => parseManifest(bytesOf(manifest()), DOCKER_MANIFEST)).toThrow(invalid("was promised"));
    expect(() => parseManifest(bytesOf(manifest({ mediaType: undefined })), OCI_INDEX)).toThrow(
      invalid("not the type"),
    );
    expect(parseManifest(bytesOf(manifest({ mediaType: undefined })), OCI_MANIFEST).mediaType).toBe(OCI_MANIFEST);
  });

  it("refuses more than 4 MiB and deep nesting before parsing", () => {
    expect(() => parseManifest(new Uint8Array(4 * 1024 * 1024 + 1))).toThrow(
      expect.objectContaining({ code: "document_too_large" }),
    );
    const deep = JSON.stringify(manifest()).replace("{", `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},`);
    expect(() => parseManifest(bytesOf(deep))).toThrow(invalid("nests deeper than 64"));
    const brackets = manifest({ annotations: { a: String.raw`[[[[\"`.repeat(100) } });
    expect(parseManifest(bytesOf(brackets)).annotations).toBeDefined();
  });

  it("refuses bytes that are not UTF-8", () => {
    const bytes = bytesOf(manifest({ annotations: { a: "@" } }));
    bytes[bytes.lastIndexOf(0x40)] = 0xff;
    expect(() => parseManifest(bytes)).toThrow(invalid("UTF-8"));
  });

  it("leaves __proto__ inert", () => {
    const text = JSON.stringify(manifest()).replace(
      "{",
      '{"__proto__":{"layers":[],"polluted":1},"annotations":{"__proto__":"x"},',
    );
    const parsed = parseManifest(bytesOf(text));
    expect(parsed.layers).toHaveLength(1);
    expect(Object.keys(parsed.annotations ?? {})).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("only ever throws its own errors, whatever the document", () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom("layers", "config", "mediaType", "annotations", "subject"),
        (value, field) => {
          for (const parse of [parseManifest, parseIndex, parseImageConfig, detectMediaType]) {
            for (const document of [value, manifest({ [field]: value }), config({ [field]: value })]) {
              try {
                parse(bytesOf(JSON.stringify(document)));
              } catch (error) {
                expect(error).toBeInstanceOf(RefsError);
              }
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("parseIndex()", () => {
  it("reads OCI indexes and Docker lists with their platforms", () => {
    const child = {
      mediaType: OCI_MANIFEST,
      digest: DIGEST,
      size: 2,
      platform: { os: "linux", architecture: "arm", variant: "v7", "os.version": "1", "os.features": ["a"] },
    };
    expect(parseIndex(bytesOf(index({ manifests: [child] }))).manifests[0]?.platform).toEqual({
      os: "linux",
      architecture: "arm",
      variant: "v7",
      osVersion: "1",
      osFeatures: ["a"],
    });
    expect(
      parseIndex(bytesOf(index({ mediaType: DOCKER_MANIFEST_LIST })), DOCKER_MANIFEST_LIST).manifests,
    ).toHaveLength(1);
  });

  it.each([
    ["a manifest", manifest(), "not the type of an image index"],
    [
      "10,000 children",
      index({
        manifests: Array.from({ length: 10_000 }, () => ({ mediaType: OCI_MANIFEST, digest: DIGEST, size: 2 })),
      }),
      "the limit is 4096",
    ],
    ["layers beside manifests", index({ layers: [] }), "stand together"],
    ["a config beside manifests", index({ config: {} }), "stand together"],
    [
      "a platform without an architecture",
      index({ manifests: [layer({ platform: { os: "linux" } })] }),
      "manifests[0].platform.architecture is missing",
    ],
  ])("refuses %s", (_, document, message) => {
    expect(() => parseIndex(bytesOf(document))).toThrow(invalid(message));
  });
});

describe("detectMediaType()", () => {
  it("takes the document's word, else goes by its fields", () => {
    expect(detectMediaType(bytesOf(manifest({ mediaType: DOCKER_MANIFEST })))).toBe(DOCKER_MANIFEST);
    expect(detectMediaType(bytesOf(manifest({ mediaType: undefined })))).toBe(OCI_MANIFEST);
    expect(detectMediaType(bytesOf(index({ mediaType: undefined })))).toBe(OCI_INDEX);
    expect(() => detectMediaType(bytesOf({ layers: [], manifests: [] }))).toThrow(invalid("stand together"));
  });
});

describe("parseImageConfig()", () => {
  it("reads platform, layers, history and how to run", () => {
    const document = config({
      variant: "v2",
      created: "2024-01-01T00:00:00Z",
      author: "me",
      history: [
        { created: "2024-01-01T00:00:00Z", created_by: "COPY", comment: "c", author: "a", empty_layer: true },
        {},
      ],
      config: {
        Entrypoint: ["/init"],
        Cmd: null,
        Env: ["A=b"],
        User: "1:1",
        WorkingDir: "/w",
        Labels: { l: "v" },
        ExposedPorts: { "80/tcp": {} },
        Volumes: { "/data": {} },
        StopSignal: "SIGTERM",
        Healthcheck: {},
      },
    });
    expect(parseImageConfig(bytesOf(document))).toEqual({
      os: "linux",
      architecture: "amd64",
      variant: "v2",
      created: "2024-01-01T00:00:00Z",
      author: "me",
      diffIDs: [DIGEST],
      history: [
        { created: "2024-01-01T00:00:00Z", createdBy: "COPY", comment: "c", author: "a", emptyLayer: true },
        {},
      ],
      config: {
        entrypoint: ["/init"],
        env: ["A=b"],
        user: "1:1",
        workingDir: "/w",
        labels: { l: "v" },
        exposedPorts: ["80/tcp"],
        volumes: ["/data"],
        stopSignal: "SIGTERM",
      },
    });
    expect(parseImageConfig(bytesOf(config()))).toMatchObject({ history: [], config: {} });
  });

  it.each([
    ["no rootfs", config({ rootfs: undefined }), "rootfs is missing"],
    ["a rootfs of another type", config({ rootfs: { type: "x" } }), "rootfs.type"],
    ["a diffID that is a path", config({ rootfs: { type: "layers", diff_ids: ["../x"] } }), "rootfs.diff_ids[0]"],
    [
      "5,000 diffIDs",
      config({ rootfs: { type: "layers", diff_ids: Array.from({ length: 5000 }, () => DIGEST) } }),
      "the limit is 1024",
    ],
    ["no os", config({ os: undefined }), "os is missing"],
    ["an Env of numbers", config({ config: { Env: [1] } }), "config.Env[0]"],
  ])("refuses %s", (_, document, message) => {
    expect(() => parseImageConfig(bytesOf(document))).toThrow(invalid(message));
  });
});

describe("pairLayers()", () => {
  it("pairs by position and refuses different counts", () => {
    const parsed = parseManifest(bytesOf(manifest()));
    expect(pairLayers(parsed, parseImageConfig(bytesOf(config())))).toEqual([
      { descriptor: parsed.layers[0], diffID: DIGEST },
    ]);
    const none = parseImageConfig(bytesOf(config({ rootfs: { type: "layers", diff_ids: [] } })));
    expect(() => pairLayers(parsed, none)).toThrow(invalid("the manifest has 1 layers, the config 0 diff_ids"));
  });
});

describe("layerCompression()", () => {
  it("knows every kind of layer, and that other things are none", () => {
    expect(layerCompression(OCI_LAYER_ZSTD)).toBe("zstd");
    expect(layerCompression(DOCKER_LAYER_GZIP)).toBe("gzip");
    expect(layerCompression("application/vnd.oci.image.layer.v1.tar")).toBe("none");
    expect(layerCompression(OCI_CONFIG)).toBeUndefined();
    expect(layerCompression("__proto__")).toBeUndefined();
    expect(isNondistributableType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")).toBe(true);
    expect(isNondistributableType(OCI_LAYER_GZIP)).toBe(false);
  });
});
