import { aFile, holds, type HostileCase, refused } from "../hostile-case.js";
import {
  blobFile,
  describe,
  type Descriptor,
  encode,
  image,
  imageOf,
  INDEX,
  LAYER,
  type LayoutFile,
  MANIFEST,
  packed,
  plain,
} from "../image-layout.js";
import { file, tar } from "../tar-bytes.js";

const TAR = tar(file("f", "in"));
const TREE = holds({ f: aFile("in") });
const MIB = 2 ** 20;
const NOT_FOUND = 3;
/** Nothing of it is wrong: it is more than the command does. */
const UNSUPPORTED = 1;

type Change = Parameters<typeof image>[1];

function refusedImage(row: number | undefined, title: string, words: readonly string[], changes: Change): HostileCase {
  return {
    ...(row !== undefined && { row }),
    title,
    rule: "refuse",
    files: () => image([plain(TAR)], changes),
    expected: refused(...words),
  };
}

function layerWith(fields: Partial<Descriptor>): Change {
  return { manifest: (manifest) => ({ ...manifest, layers: manifest.layers.map((each) => ({ ...each, ...fields })) }) };
}

/** `depth` indexes, one in the other, the image in the innermost. */
function nested(depth: number): readonly LayoutFile[] {
  const files = image([plain(TAR)]);
  const manifest = files.find((each) => "bytes" in each && Buffer.from(each.bytes).includes('"layers":['));
  let inner = "bytes" in (manifest ?? {}) ? (manifest as { bytes: Uint8Array }).bytes : new Uint8Array();
  const blobs: LayoutFile[] = [];
  for (let level = 0, type = MANIFEST; level < depth; level++, type = INDEX) {
    const platform = level === 0 ? { platform: { os: "linux", architecture: "amd64" } } : {};
    inner = encode({ schemaVersion: 2, mediaType: INDEX, manifests: [{ ...describe(inner, type), ...platform }] });
    blobs.push(blobFile(inner));
  }
  return image([plain(TAR)], { entry: (entry) => ({ ...entry, ...describe(inner, INDEX) }), files: blobs });
}

function manyLayers(count: number): readonly LayoutFile[] {
  return image(Array.from({ length: count }, (_, n) => plain(tar(file("f", `${n}`)))));
}

const damaged = tar(file("f", "xx"));

/** Manifests, configs and layouts that are not what they say, or say too much. */
export const documentCases: readonly HostileCase[] = [
  refusedImage(74, "a layer that is not its digest is refused", ["digest"], {
    files: [{ path: `blobs/${describe(TAR, LAYER).digest.replace(":", "/")}`, bytes: damaged }],
  }),
  {
    row: 75,
    title: "a layer that is not its diffID is refused",
    rule: "refuse",
    files: () => image([packed(TAR, LAYER, damaged)]),
    expected: refused("the tar's digest is"),
  },
  ...[
    ["sha256:../../../../../../etc/passwd", "climbs"],
    [`sha256:${"../".repeat(21)}x`, "climbs and has 64 characters"],
    [`sha256:${"A".repeat(64)}`, "is in upper case"],
    [`sha256:${"a".repeat(63)}`, "is too short"],
    [`sha256:${"a".repeat(64)}\0`, "ends with a NUL"],
    [`md5:${"a".repeat(32)}`, "is an MD5"],
    ["", "is empty"],
  ].map(([digest = "", what = ""]) =>
    refusedImage(
      76,
      `a digest that ${what} is refused (CVE-2024-3727)`,
      ["layers[0].digest", "not a digest"],
      layerWith({ digest }),
    ),
  ),
  refusedImage(76, "a diffID that climbs is refused", ["diff_ids[0]", "not a digest"], {
    config: (config) => ({ ...config, rootfs: { type: "layers", diff_ids: ["sha256:../../../evil"] } }),
  }),
  refusedImage(76, "a digest in index.json that climbs is refused", ["manifests[0].digest", "not a digest"], {
    entry: (entry) => ({ ...entry, digest: "sha256:../../oci-layout" }),
  }),
  ...[-1, 2 ** 60, 1.5, "12", null].map((size) =>
    refusedImage(
      77,
      `a size of ${size === null ? "null" : JSON.stringify(size)} is refused`,
      ["layers[0].size"],
      layerWith({ size: size as number }),
    ),
  ),
  refusedImage(77, "a blob shorter than its size is refused", ["bytes"], layerWith({ size: TAR.length + 1 })),
  refusedImage(77, "a blob longer than its size is refused", ["bytes"], layerWith({ size: TAR.length - 1 })),
  refusedImage(78, "a manifest that is an index as well is refused (CVE-2021-41190)", ["stand together"], {
    manifest: (manifest) => ({ ...manifest, manifests: [manifest.config] }),
  }),
  refusedImage(78, "a manifest of another media type than promised is refused", ["was promised"], {
    entry: (entry) => ({ ...entry, mediaType: "application/vnd.docker.distribution.manifest.v2+json" }),
  }),
  refusedImage(78, "a manifest that is promised as an index is refused", ["was promised"], {
    entry: (entry) => ({ ...entry, mediaType: INDEX }),
  }),
  refusedImage(79, "a manifest of over 4 MiB is refused", ["limit"], {
    manifest: (manifest) => ({ ...manifest, annotations: { pad: "x".repeat(4 * MIB) } }),
  }),
  refusedImage(79, "a config of over 4 MiB is refused", ["limit"], {
    config: (config) => ({ ...config, author: "x".repeat(4 * MIB) }),
  }),
  refusedImage(79, "an index.json of over 4 MiB is refused", ["index.json", "limit"], {
    index: (index) => ({ ...index, annotations: { pad: "x".repeat(4 * MIB) } }),
  }),
  {
    row: 80,
    title: "an index in an index is followed",
    rule: "accept",
    files: () => nested(1),
    expected: TREE,
  },
  {
    row: 80,
    title: "indexes twenty deep are refused",
    rule: "refuse",
    files: () => nested(20),
    expected: { status: UNSUPPORTED, words: ["indexes nest deeper than"] },
  },
  {
    row: 80,
    title: "an index of 10,000 manifests is refused",
    rule: "refuse",
    files: () => {
      const many = encode({
        schemaVersion: 2,
        mediaType: INDEX,
        manifests: Array.from({ length: 10_000 }, (_, n) => describe(Buffer.from(`${n}`), MANIFEST)),
      });
      return image([plain(TAR)], {
        entry: (entry) => ({ ...entry, ...describe(many, INDEX) }),
        files: [blobFile(many)],
      });
    },
    expected: refused("manifests has 10000 members", "limit"),
  },
  refusedImage(81, "more diffIDs than layers are refused", ["1 layers", "2 diff_ids"], {
    config: (config) => ({
      ...config,
      rootfs: { type: "layers", diff_ids: [describe(TAR, LAYER).digest, describe(TAR, LAYER).digest] },
    }),
  }),
  refusedImage(81, "fewer diffIDs than layers are refused", ["1 layers", "0 diff_ids"], {
    config: (config) => ({ ...config, rootfs: { type: "layers", diff_ids: [] } }),
  }),
  {
    row: 82,
    title: "127 layers are taken",
    rule: "accept",
    files: () => manyLayers(127),
    expected: holds({ f: aFile("126") }),
    formats: ["ext4"],
    withoutContents: true,
  },
  refusedImage(82, "5,000 layers are refused", ["layers has 5000 members", "limit"], {
    manifest: (manifest) => ({ ...manifest, layers: Array.from({ length: 5000 }, () => manifest.layers[0]) }),
  }),
  {
    row: 83,
    title: "a layer that comes twice has both its places",
    rule: "accept",
    files: () => imageOf(TAR, tar(file(".wh.f"), file("g", "up")), TAR),
    expected: holds({ f: aFile("in"), g: aFile("up") }),
  },
  {
    row: 85,
    title: "keys that JavaScript's objects have already mean nothing",
    rule: "accept",
    files: () =>
      image([plain(TAR)], {
        manifest: (manifest) =>
          Buffer.from(
            JSON.stringify(manifest).replace(
              "{",
              '{"__proto__":{"layers":[],"mediaType":"x"},"constructor":{"prototype":{"size":-1}},"annotations":{"__proto__":"x"},',
            ),
          ),
      }),
    expected: TREE,
  },
  refusedImage(85, "JSON nested 100,000 deep is refused", ["deeper than 64"], {
    manifest: () => Buffer.from(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
  }),
  refusedImage(85, "a manifest that is no JSON is refused", ["not JSON"], { manifest: () => Buffer.from("{\u0000}") }),
  refusedImage(85, "a manifest that is JSON but no object is refused", ["not an object"], {
    manifest: () => Buffer.from("[1]"),
  }),
  refusedImage(86, "a blob that is a symlink out of the layout is refused", ["symbolic link"], {
    files: [{ path: `blobs/${describe(TAR, LAYER).digest.replace(":", "/")}`, symlinkTo: "/etc/passwd" }],
  }),
  refusedImage(86, "a blob that is a FIFO is refused", ["not a regular file"], {
    files: [{ path: `blobs/${describe(TAR, LAYER).digest.replace(":", "/")}`, fifo: true }],
  }),
  refusedImage(86, "an index.json that is a symlink is refused", ["index.json", "symbolic link"], {
    files: [{ path: "index.json", symlinkTo: "../../../../../../etc/passwd" }],
  }),
  {
    row: 87,
    title: "an archive whose member climbs out is refused",
    rule: "refuse",
    source: "oci-archive:image.tar",
    files: () => [{ path: "image.tar", bytes: archiveOf("../../evil") }],
    expected: refused("evil"),
  },
  {
    title: "a blob that is not there is refused",
    rule: "refuse",
    files: () => image([plain(TAR)], layerWith({ digest: `sha256:${"0".repeat(64)}` })),
    expected: { status: NOT_FOUND, words: ["cannot read", "no such file"] },
  },
  refusedImage(undefined, "a layer's foreign urls are not asked for", ["digest"], {
    ...layerWith({ urls: ["http://169.254.169.254/latest/meta-data"] }),
    files: [{ path: `blobs/${describe(TAR, LAYER).digest.replace(":", "/")}`, bytes: damaged }],
  }),
  refusedImage(undefined, "a layout of another version is refused", ["version is not 1.0.0"], {
    files: [{ path: "oci-layout", bytes: encode({ imageLayoutVersion: "9.0.0" }) }],
  }),
  refusedImage(undefined, "a manifest of schema 1 is refused", ["schemaVersion is not 2"], {
    manifest: (manifest) => ({ ...manifest, schemaVersion: 1 }),
  }),
];

function archiveOf(extra: string): Uint8Array {
  const members = image([plain(TAR)]).flatMap((each) => ("bytes" in each ? [file(each.path, each.bytes)] : []));
  return tar(file(extra, "out"), ...members);
}
