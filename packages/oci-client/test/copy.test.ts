import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type Descriptor,
  digestOf,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_LAYER_TAR,
  OCI_MANIFEST,
} from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  copyImage,
  type CopyProgress,
  createDockerArchive,
  createOciArchive,
  createOciLayout,
  createRegistryClient,
  openDockerArchive,
  openOciArchive,
  openOciLayout,
  type RegistryClient,
  type Repository,
} from "../src/index.js";
import { bytesOf, failure, PATH, pseudoRandom, readAll, startRegistry, type TestRegistry } from "./registry-server.js";

const FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

let registry: TestRegistry;
let client: RegistryClient;
let repository: Repository;
let directory: string;
let image: Descriptor;
let multi: Descriptor;

beforeEach(async () => {
  registry = await startRegistry();
  client = createRegistryClient({ retry: { baseMs: 1 } });
  repository = client.repository({ domain: registry.host, path: PATH });
  directory = await mkdtemp(join(tmpdir(), "copy-"));
  image = addImage("1", [pseudoRandom(300_000), bytesOf("layer"), pseudoRandom(300_000)]);
  const other = addImage("arm", [bytesOf("arm's layer")]);
  const nested = registry.addManifest(
    "nested",
    indexOf([{ ...other, platform: { os: "linux", architecture: "arm64" } }]),
    OCI_INDEX,
  );
  const manifests = [{ ...image, platform: { os: "linux", architecture: "amd64" } }, nested];
  multi = registry.addManifest("multi", indexOf(manifests), OCI_INDEX);
});

afterEach(async () => {
  await client.close();
  await registry[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

function indexOf(manifests: readonly object[]): object {
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
}

function addImage(tag: string, layers: readonly Uint8Array[], mediaType: string = OCI_LAYER_GZIP): Descriptor {
  const rootfs = { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) };
  const config = registry.addBlob(bytesOf(JSON.stringify({ os: "linux", architecture: "amd64", rootfs })), OCI_CONFIG);
  const descriptors = layers.map((layer) => registry.addBlob(layer, mediaType));
  return registry.addManifest(tag, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: descriptors });
}

const at = (name: string): string => join(directory, name);
const blobReads = (): string[] =>
  registry.requests.filter(({ method, path }) => method === "GET" && path.includes("/blobs/")).map(({ path }) => path);

describe("copyImage()", () => {
  it("keeps all digests through layout, archive and docker-archive and back to a registry", async () => {
    const layout = await createOciLayout(at("layout"));
    expect(await copyImage({ images: repository, name: "multi" }, { images: layout, name: "m" })).toMatchObject({
      descriptor: multi,
      blobs: 5,
      transferredBlobs: 5,
    });
    await copyImage({ images: layout, name: image.digest }, { images: layout, name: "1" });
    const archive = await createOciArchive(at("oci.tar"));
    await copyImage({ images: layout, name: "m" }, { images: archive, name: "m" });
    await copyImage({ images: layout, name: "1" }, { images: archive, name: "one" });
    await archive.commit();
    await using read = await openOciArchive(at("oci.tar"));
    expect(await read.names()).toEqual(["m", "one"]);
    const docker = await createDockerArchive(at("docker.tar"));
    await copyImage({ images: read, name: "one" }, { images: docker, name: "app:1" });
    await copyImage({ images: read, name: "one" }, { images: docker, name: "app:2" });
    await docker.commit();
    await using back = await openDockerArchive(at("docker.tar"));
    expect(await back.names()).toEqual(["app:1", "app:2"]);
    expect(await back.resolve("docker.io/library/app:2")).toMatchObject(image);
    registry.blobs.clear();
    registry.manifests.clear();
    const copied = await copyImage({ images: back, name: "app:1" }, { images: repository, name: "back" });
    expect(await repository.resolve("back")).toEqual(copied.descriptor);
    expect(copied.descriptor).toEqual(image);
    expect(registry.blobs.size).toBe(3);
  });

  it("fetches each blob once, and nothing that is there already", async () => {
    const layout = await createOciLayout(at("layout"));
    await copyImage({ images: repository, name: "1" }, { images: layout, name: "a" });
    // Two of the three layers are the same.
    expect(new Set(blobReads()).size).toBe(3);
    expect(blobReads()).toHaveLength(3);
    registry.requests.length = 0;
    const again = await copyImage({ images: repository, name: "1" }, { images: layout, name: "b" });
    expect(again).toMatchObject({ blobs: 3, transferredBlobs: 0, transferredBytes: 0 });
    expect(blobReads()).toEqual([]);
    expect(await layout.names()).toEqual(["a", "b"]);
  });

  it("puts the name last, after all that it stands for", async () => {
    const target = client.repository({ domain: registry.host, path: PATH });
    const layout = await createOciLayout(at("layout"));
    await copyImage({ images: repository, name: "multi" }, { images: layout, name: "m" });
    registry.blobs.clear();
    registry.manifests.clear();
    registry.requests.length = 0;
    await copyImage({ images: layout, name: "m" }, { images: target, name: "new" });
    const puts = registry.requests.filter(({ method }) => method === "PUT").map(({ path }) => path);
    expect(puts.at(-1)).toBe(`/v2/${PATH}/manifests/new`);
    expect(puts.slice(0, 5).every((path) => path.includes("/blobs/uploads/"))).toBe(true);
    expect(puts).toHaveLength(9);
  });

  it("copies one platform when one is chosen, also from a nested index", async () => {
    const layout = await createOciLayout(at("layout"));
    const platform = { os: "linux", architecture: "amd64" };
    expect(
      await copyImage({ images: repository, name: "multi" }, { images: layout, name: "x" }, { platform }),
    ).toMatchObject({
      descriptor: { digest: image.digest },
    });
    const arm = { os: "linux", architecture: "arm64" };
    const copied = await copyImage(
      { images: repository, name: "nested" },
      { images: layout, name: "y" },
      { platform: arm },
    );
    expect(copied.descriptor.digest).toBe((await repository.resolve("arm")).digest);
    const wanted = { os: "linux", architecture: "s390x" };
    await expect(
      copyImage({ images: repository, name: "nested" }, { images: layout, name: "z" }, { platform: wanted }),
    ).rejects.toThrow(failure("platform_unavailable", "it has linux/arm64"));
  });

  it("says which side failed, with the code of what failed there", async () => {
    const layout = await createOciLayout(at("layout"));
    await expect(copyImage({ images: repository, name: "none" }, { images: layout, name: "" })).rejects.toThrow(
      expect.objectContaining({ code: "not_found", side: "source" }),
    );
    const [layer] = [...registry.blobs.keys()].slice(1);
    registry.blobs.set(layer as string, bytesOf("corrupt"));
    await expect(copyImage({ images: repository, name: "1" }, { images: layout, name: "c" })).rejects.toThrow(
      expect.objectContaining({ code: "size_mismatch", side: "source" }),
    );
    expect(await layout.names()).toEqual([]);
    expect((await readdir(at("layout"))).filter((name) => name.startsWith("."))).toEqual([]);
    await rm(at("layout/index.json"));
    await mkdir(at("layout/index.json"));
    await expect(copyImage({ images: repository, name: "arm" }, { images: layout, name: "c" })).rejects.toThrow(
      expect.objectContaining({ code: "layout_invalid", side: "destination" }),
    );
  });

  it("tells what happens to each blob", async () => {
    const events: CopyProgress[] = [];
    const layout = await createOciLayout(at("layout"));
    const onProgress = (event: CopyProgress): void => void events.push(event);
    await copyImage({ images: repository, name: "arm" }, { images: layout, name: "" }, { onProgress });
    expect(events.map(({ state }) => state).toSorted()).toEqual([
      "copying",
      "copying",
      "done",
      "done",
      "waiting",
      "waiting",
    ]);
    expect(
      events.filter(({ state }) => state === "done").every(({ doneBytes, totalBytes }) => doneBytes === totalBytes),
    ).toBe(true);
  });

  it("skips foreign layers, refuses them or copies them, as asked", async () => {
    addImage("foreign", [bytesOf("windows")], FOREIGN);
    const layout = await createOciLayout(at("layout"));
    const from = { images: repository, name: "foreign" };
    expect(await copyImage(from, { images: layout, name: "a" })).toMatchObject({ blobs: 1 });
    await expect(copyImage(from, { images: layout, name: "b" }, { foreignLayers: "refuse" })).rejects.toThrow(
      failure("unsupported"),
    );
    expect(await copyImage(from, { images: layout, name: "c" }, { foreignLayers: "copy" })).toMatchObject({ blobs: 2 });
    const docker = await createDockerArchive(at("docker.tar"));
    await copyImage(from, { images: docker, name: "app" });
    await expect(docker.commit()).rejects.toThrow(failure("unsupported", "was not copied"));
    await docker[Symbol.asyncDispose]();
    expect((await readdir(directory)).toSorted()).toEqual(["layout"]);
  });

  it("borrows blobs between repositories of one registry", async () => {
    registry.intercept = ({ method, url = "" }, response) => {
      if (url.startsWith(`/v2/${PATH}/`)) return false;
      response.writeHead(method === "POST" || method === "PUT" ? 201 : 404).end();
      return true;
    };
    const target = client.repository({ domain: registry.host, path: "other/app" });
    const copied = await copyImage({ images: repository, name: "1" }, { images: target, name: "1" });
    expect(copied).toMatchObject({ blobs: 3, transferredBlobs: 0 });
    expect(blobReads()).toEqual([]);
  });

  it("stops at its signal, everything with it", async () => {
    const layout = await createOciLayout(at("layout"));
    const reason = new Error("stop");
    const from = { images: repository, name: "1" };
    const to = { images: layout, name: "1" };
    await expect(copyImage(from, to, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const onProgress = ({ state }: CopyProgress): void => {
      if (state === "copying") controller.abort(reason);
    };
    await expect(copyImage(from, to, { signal: controller.signal, onProgress })).rejects.toBe(reason);
    expect(await layout.names()).toEqual([]);
  });
});

describe("createOciLayout()", () => {
  it("keeps what it does not know, moves a name, and lists a digest without one", async () => {
    const layout = await createOciLayout(at("layout"));
    await copyImage({ images: repository, name: "arm" }, { images: layout, name: "x" });
    const path = at("layout/index.json");
    const before = JSON.parse(await readFile(path, "utf8"));
    const stranger = { ...image, digest: digestOf(bytesOf("stranger")), "x-own": { a: 1 } };
    await writeFile(path, JSON.stringify({ ...before, "x-top": true, manifests: [...before.manifests, stranger] }));
    const descriptor = await layout.pushManifest("x", { bytes: bytesOf("{}"), mediaType: OCI_MANIFEST });
    await layout.pushManifest(descriptor.digest, { bytes: bytesOf("{}"), mediaType: OCI_MANIFEST });
    const after = JSON.parse(await readFile(path, "utf8"));
    expect(after).toMatchObject({ "x-top": true, manifests: [stranger, descriptor] });
    expect(after.manifests).toHaveLength(2);
  });

  it("keeps no chunk longer than until the next one, as only it tells the content", async () => {
    const bytes = pseudoRandom(3_000_000);
    const blob = { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length };
    const told: unknown[] = [];
    async function* content(options?: { isLent?: boolean | undefined }): AsyncGenerator<Uint8Array> {
      told.push(options?.isLent);
      const memory = new Uint8Array(300_000);
      for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 299_993) {
        const chunk = memory.subarray(0, Math.min(size, bytes.length - at));
        chunk.set(bytes.subarray(at, at + size));
        yield chunk;
        memory.fill(0);
      }
    }
    const layout = await createOciLayout(join(directory, "lent"));
    await layout.push(blob, content);
    expect(Buffer.from(await readAll(layout.fetch(blob))).equals(bytes)).toBe(true);
    async function* kept(options?: { isLent?: boolean | undefined }): AsyncGenerator<Uint8Array> {
      told.push(options?.isLent);
      yield bytes;
    }
    await using archive = await createOciArchive(join(directory, "kept.tar"));
    await archive.push(blob, kept);
    await repository.push(blob, kept);
    expect(told).toEqual([true, false, false]);
  });

  it("copies big blobs side by side through memory that is used again", async () => {
    const layers = [1, 2, 3, 4, 5, 6].map((at) => pseudoRandom(4_000_000 + at));
    const big = addImage("big", layers);
    const layout = await createOciLayout(join(directory, "big"));
    await copyImage({ images: repository, name: "big" }, { images: layout, name: "big" });
    expect(await layout.resolve("big")).toMatchObject({ digest: big.digest });
    for (const bytes of layers) {
      const blob = { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length };
      expect(Buffer.from(await readAll(layout.fetch(blob))).equals(bytes)).toBe(true);
    }
  });

  it("loses no name to another writer at the same time", async () => {
    const [one, two] = await Promise.all([createOciLayout(at("layout")), createOciLayout(at("layout"))]);
    const names = Array.from({ length: 12 }, (_, number) => `n${number}`);
    await Promise.all(
      names.map((name, number) =>
        (number % 2 === 0 ? one : two).pushManifest(name, {
          bytes: bytesOf(`{"n":${number}}`),
          mediaType: OCI_MANIFEST,
        }),
      ),
    );
    expect((await one.names()).toSorted()).toEqual(names.toSorted());
  });

  it("refuses a directory of other files, and a digest that is not the manifest's", async () => {
    await writeFile(at("file"), "");
    await expect(createOciLayout(directory)).rejects.toThrow(failure("layout_invalid", "other files"));
    const layout = await createOciLayout(at("layout"));
    await expect(layout.pushManifest(image.digest, { bytes: bytesOf("{}"), mediaType: OCI_MANIFEST })).rejects.toThrow(
      failure("rejected"),
    );
  });

  it("refuses content that is not what was promised and leaves none", async () => {
    const layout = await createOciLayout(at("layout"));
    async function* content(): AsyncGenerator<Uint8Array> {
      yield bytesOf("other");
    }
    await expect(layout.push({ ...image, size: 5 }, content())).rejects.toThrow(failure("digest_mismatch"));
    expect(await readdir(at("layout/blobs/sha256"))).toEqual([]);
  });
});

describe("openDockerArchive()", () => {
  /** An archive as docker save wrote it before version 25: the second layer is a link to the first. */
  async function oldArchive(manifest: (config: string) => unknown, layer = "plain layer"): Promise<string> {
    const root = at("old");
    await mkdir(join(root, "a"), { recursive: true });
    await mkdir(join(root, "b"));
    await writeFile(join(root, "a/layer.tar"), layer);
    execFileSync("ln", ["-s", "../a/layer.tar", join(root, "b/layer.tar")]);
    const diffID = digestOf(bytesOf("plain layer"));
    const config = bytesOf(
      JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [diffID, diffID] } }),
    );
    const name = `${digestOf(config).slice("sha256:".length)}.json`;
    await writeFile(join(root, name), config);
    await writeFile(join(root, "manifest.json"), JSON.stringify(manifest(name)));
    execFileSync("tar", ["-cf", at("old.tar"), "-C", root, "."]);
    return at("old.tar");
  }

  const whole = (Config: string): unknown => [{ Config, RepoTags: ["app:1"], Layers: ["a/layer.tar", "b/layer.tar"] }];

  it("makes the same manifest each time of an archive that has none", async () => {
    const path = await oldArchive(whole);
    await using first = await openDockerArchive(path);
    await using second = await openDockerArchive(path);
    const descriptor = await first.resolve("app:1");
    expect(await second.resolve("")).toEqual(descriptor);
    const manifest = JSON.parse(new TextDecoder().decode(await readAll(first.fetch(descriptor))));
    const layer = { mediaType: OCI_LAYER_TAR, digest: digestOf(bytesOf("plain layer")), size: 11 };
    expect(manifest.layers).toEqual([layer, layer]);
    expect(await readAll(first.fetch(layer))).toEqual(bytesOf("plain layer"));
    expect(await first.resolve(descriptor.digest)).toEqual(descriptor);
    await expect(first.resolve("app:2")).rejects.toThrow(failure("not_found"));
  });

  it("refuses a layer that is not its diffID", async () => {
    await using archive = await openDockerArchive(await oldArchive(whole, "changed layer"));
    await expect(archive.resolve("app:1")).rejects.toThrow(failure("digest_mismatch", "diffID"));
  });

  it.each([
    ["no list", () => ({}), "lists no images"],
    ["a config that is a number", () => [{ Config: 1 }], "odd tags or layers"],
    ["layers that are no strings", (Config: string) => [{ Config, Layers: [{}] }], "odd tags or layers"],
  ])("refuses a manifest.json with %s", async (_, manifest, message) => {
    await expect(openDockerArchive(await oldArchive(manifest))).rejects.toThrow(failure("archive_invalid", message));
  });

  it("refuses layers and diffIDs of different count", async () => {
    await using archive = await openDockerArchive(await oldArchive((Config) => [{ Config, Layers: ["a/layer.tar"] }]));
    await expect(archive.resolve("")).rejects.toThrow(failure("archive_invalid", "names 2 layers"));
  });

  it("refuses an index for an archive, and a name that is no reference", async () => {
    const archive = await createDockerArchive(at("d.tar"));
    const manifest = { bytes: bytesOf("{}"), mediaType: OCI_INDEX };
    await expect(archive.pushManifest("a", manifest)).rejects.toThrow(failure("unsupported", "choose a platform"));
    await expect(archive.pushManifest("A B", { ...manifest, mediaType: OCI_MANIFEST })).rejects.toThrow(
      failure("unsupported"),
    );
    await archive[Symbol.asyncDispose]();
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("openOciArchive()", () => {
  const tar = (...args: string[]): string => {
    execFileSync("tar", ["-cf", at("x.tar"), "-C", directory, ...args], { stdio: "ignore" });
    return at("x.tar");
  };

  it.each([
    ["leads out of the archive", ["-P", "--transform=s|^|../|", "file"], "archive_invalid"],
    ["is absolute", ["-P", "--transform=s|^|/|", "file"], "archive_invalid"],
    ["comes twice", ["file", "file"], "archive_invalid"],
    ["is a FIFO", ["fifo"], "archive_invalid"],
    ["is a link that leads out", ["link"], "archive_invalid"],
  ])("refuses a member that %s", async (_, args, code) => {
    await writeFile(at("file"), "x");
    execFileSync("mkfifo", [at("fifo")]);
    execFileSync("ln", ["-s", "../../etc/passwd", at("link")]);
    await expect(openOciArchive(tar("--hard-dereference", ...args))).rejects.toThrow(failure(code));
  });

  it("refuses what is no tar, a tar that is cut, an empty one, a compressed one, and one that is no layout", async () => {
    await writeFile(at("file"), pseudoRandom(100_000));
    const path = tar("file");
    await expect(openOciArchive(path)).rejects.toThrow(failure("not_found", "oci-layout"));
    await writeFile(path, (await readFile(path)).subarray(0, 50_000));
    await expect(openOciArchive(path)).rejects.toThrow(failure("archive_invalid"));
    await expect(openOciArchive(at("file"))).rejects.toThrow(failure("archive_invalid"));
    await writeFile(path, new Uint8Array(1024));
    await expect(openOciArchive(path)).rejects.toThrow(failure("archive_invalid", "empty"));
    await writeFile(path, Buffer.from([0x1f, 0x8b, 8, 0]));
    await expect(openOciArchive(path)).rejects.toThrow(failure("unsupported", "compressed"));
    await expect(openOciArchive(at("none"))).rejects.toThrow(failure("not_found"));
  });

  it("rejects with the reason of its signal", async () => {
    const reason = new Error("stop");
    const options = { signal: AbortSignal.abort(reason) };
    await expect(openOciArchive(at("x.tar"), options)).rejects.toBe(reason);
    await expect(openDockerArchive(at("x.tar"), options)).rejects.toBe(reason);
    await expect(createOciArchive(at("x.tar"), options)).rejects.toBe(reason);
    await expect(createDockerArchive(at("x.tar"), options)).rejects.toBe(reason);
    await expect(createOciLayout(at("x"), options)).rejects.toBe(reason);
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("createOciArchive()", () => {
  it("takes back content that failed midway, and gives the same file for the same images", async () => {
    const write = async (path: string): Promise<void> => {
      const archive = await createOciArchive(path);
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield bytesOf("half");
        throw new Error("broken");
      }
      await expect(archive.push({ ...image, size: 100 }, broken())).rejects.toThrow("broken");
      await copyImage({ images: repository, name: "arm" }, { images: archive, name: "arm" }, { concurrency: 1 });
      await archive.commit();
    };
    await write(at("a.tar"));
    await write(at("b.tar"));
    expect(await readFile(at("a.tar"))).toEqual(await readFile(at("b.tar")));
    execFileSync("tar", ["-xf", at("a.tar"), "-C", directory]);
    expect(await (await openOciLayout(directory)).names()).toEqual(["arm"]);
  });
});
