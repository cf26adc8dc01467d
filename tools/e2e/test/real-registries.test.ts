import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers } from "@lamella/demo/sample";
import { copyImage, createOciLayout, createRegistryClient, openOciLayout } from "@lamella/oci-client";
import type { RegistryClient, RegistryClientOptions, Repository } from "@lamella/oci-client";
import { missing, runCommand, withContainerd } from "@lamella/oracles";
import { digestOf, OCI_MANIFEST, parseManifest, parseReference } from "@lamella/refs";
import type { Descriptor, Manifest } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import { lamella } from "./lamella.js";
import { ALIAS, realRegistries, withLogin } from "./real-registry.js";
import type { RealRegistry } from "./real-registry.js";

for (const kind of realRegistries) {
  const { deletesBlobs, listsReferrers, login, reader } = kind;
  const reason = missing(kind.needs);
  describe.skipIf(reason !== undefined)(`${kind.title}${suffix(reason)}`, () => {
    let work = "";
    let registry: RealRegistry;
    let client: RegistryClient;
    let image: Descriptor;
    let manifest: Manifest;

    beforeAll(async () => {
      work = mkdtempSync(join(tmpdir(), "lamella-real-registries-"));
      registry = await kind.start(join(work, "registry"));
      client = createRegistryClient(registry.client);
      const layers = sampleLayers().filter((_, at) => at !== 1);
      const { digest } = await pushImage(repository("pushed/app"), "v1", layers);
      image = await repository("pushed/app").resolve("v1");
      expect(image.digest).toBe(digest);
      const { bytes } = await repository("pushed/app").fetchManifest(image);
      manifest = parseManifest(bytes, OCI_MANIFEST);
    });
    afterAll(async () => {
      await client?.close();
      await registry?.[Symbol.asyncDispose]();
      rmSync(work, { recursive: true, force: true });
    });

    const at = (name: string): string => join(work, name);
    const name = (path: string): string => `${registry.address}/${path}`;

    function repository(path: string, by = client): Repository {
      return by.repository(parseReference(name(path)));
    }

    function another(options: RegistryClientOptions): RegistryClient {
      const made = createRegistryClient(options);
      onTestFinished(() => made.close());
      return made;
    }

    /** Every byte of what others pushed, verified on its way. */
    async function pulledDigest(path: string, tag: string): Promise<string> {
      const layout = await createOciLayout(at(`pulled-${path.replace("/", "-")}`));
      const from = { images: repository(path), name: tag };
      return (await copyImage(from, { images: layout, name: "pulled" })).descriptor.digest;
    }

    /** The digest of what skopeo reads, byte for byte. */
    async function skopeoDigest(source: string, ...flags: string[]): Promise<string> {
      const file = at("inspected.json");
      await runCommand("sh", ["-c", 'exec skopeo inspect --raw "$@" >"$0"', file, ...flags, source], { accept: [0] });
      return digestOf(readFileSync(file));
    }

    it("gives back what was pushed, through a layout and out again, digests kept", async () => {
      expect(await pulledDigest("pushed/app", "v1")).toBe(image.digest);
      const images = await openOciLayout(at("pulled-pushed-app"));
      const to = { images: repository("returned/app"), name: "v2" };
      const copied = await copyImage({ images, name: "pulled" }, to, { chunkBytes: 256 * 1024 });
      expect(copied.descriptor).toEqual(await repository("returned/app").resolve("v2"));
      expect(copied.descriptor).toEqual(image);
    });

    it("gives several ranges with one request", async () => {
      const [layer] = manifest.layers as [Descriptor];
      const pushed = repository("pushed/app");
      const whole = Buffer.concat(await gathered(pushed.fetch(layer)));
      const ranges = [0, 40, 80].map((offset) => ({ offset, length: 20 }));
      const pieces = await gathered(pushed.fetchRanges(layer, ranges));
      const given = Buffer.concat(pieces.map(({ bytes }) => bytes));
      expect(given).toEqual(Buffer.concat(ranges.map(({ offset, length }) => whole.subarray(offset, offset + length))));
    });

    it("lends blobs to another repository, and no bytes are sent", async () => {
      const blobs = [manifest.config, ...manifest.layers];
      const to = { images: repository("borrowing/app"), name: "v1" };
      const copied = await copyImage({ images: repository("pushed/app"), name: "v1" }, to);
      expect(copied).toMatchObject({ descriptor: image, blobs: 3, transferredBlobs: 0, transferredBytes: 0 });
      expect(await pulledDigest("borrowing/app", "v1")).toBe(image.digest);
      const { requests } = registry;
      if (requests === undefined) return;
      const uploads = () =>
        requests.filter((request) => /^(POST|PATCH|PUT) \/v2\/borrowing\/app\/blobs\//.test(request));
      const mounts = () => uploads().filter((request) => /^POST .*mount=sha256.* 201$/.test(request));
      await expect.poll(mounts).toHaveLength(blobs.length);
      expect(uploads().filter((request) => !request.startsWith("POST "))).toEqual([]);
    });

    it("does not lend what the other repository does not have", async () => {
      const absent = { digest: digestOf(Buffer.from("nobody pushed this")) };
      const target = repository("empty-handed/app");
      expect(await target.mount(absent, repository("pushed/app").address)).toBe(false);
    });

    it(`deletes by digest a manifest with its tag${deletesBlobs ? ", and a blob" : ", but no blob"}`, async () => {
      const doomed = repository("doomed/app");
      await copyImage({ images: repository("pushed/app"), name: "v1" }, { images: doomed, name: "v1" });
      await doomed.delete(image.digest);
      await expect(doomed.resolve(image.digest)).rejects.toMatchObject({ code: "not_found" });
      await expect(doomed.resolve("v1")).rejects.toMatchObject({ code: "not_found" });
      await expect(doomed.delete(image.digest)).rejects.toMatchObject({ code: "not_found" });
      const blobDeletion = doomed.deleteBlob(manifest.config.digest);
      if (deletesBlobs) {
        await blobDeletion;
        await expect(gathered(doomed.fetch(manifest.config))).rejects.toMatchObject({ code: "not_found" });
      } else await expect(blobDeletion).rejects.toMatchObject({ code: "rejected", status: 405 });
      expect((await repository("pushed/app").resolve("v1")).digest).toBe(image.digest);
    });

    const lister = listsReferrers ? "it" : "the referrers tag";
    it(`has what refers to an image listed by ${lister}, until that is deleted`, async () => {
      const subject = repository("pushed/app");
      const artifact = { schemaVersion: 2, mediaType: OCI_MANIFEST, artifactType: "application/vnd.test.note" };
      const document = { ...artifact, config: manifest.config, layers: manifest.layers.slice(0, 1), subject: image };
      const bytes = Buffer.from(JSON.stringify(document));
      const pushed = await subject.pushManifest(digestOf(bytes), { bytes, mediaType: OCI_MANIFEST });
      const { artifactType } = artifact;
      expect(await gathered(subject.referrers(image.digest))).toEqual([{ ...pushed, artifactType }]);
      expect(await gathered(subject.referrers(image.digest, { artifactType: "application/other" }))).toEqual([]);
      const tags = await gathered(subject.tags());
      expect(tags.includes(image.digest.replace(":", "-"))).toBe(!listsReferrers);
      await subject.delete(pushed.digest);
      expect(await gathered(subject.referrers(image.digest))).toEqual([]);
    });

    it("does not find what nobody has pushed", async () => {
      await expect(repository("nobody/app").resolve("v1")).rejects.toMatchObject({ code: "not_found" });
    });

    if (kind.guard !== "none") {
      it("refuses who has no right to be there", async () => {
        expect(Object.keys(registry.refused)).toHaveLength(2);
        for (const [way, { options, code }] of Object.entries(registry.refused)) {
          const stranger = another(options);
          await expect(stranger.ping(registry.address), way).rejects.toMatchObject({ code });
          await expect(repository("pushed/app", stranger).resolve("v1"), way).rejects.toMatchObject({ code });
          await expect(pushImage(repository("stranger/app", stranger), "v1", []), way).rejects.toMatchObject({ code });
        }
        await expect(repository("stranger/app").resolve("v1")).rejects.toMatchObject({ code: "not_found" });
      });
    }

    if (login !== undefined) {
      const withoutSkopeo = missing(["skopeo"]);
      it.skipIf(withoutSkopeo !== undefined)(`is logged in to by skopeo${suffix(withoutSkopeo)}`, async () => {
        const flags = ["--authfile", at("skopeo-login.json"), "--tls-verify=false", "--username", login.username];
        const logIn = (password: string) => ["login", ...flags, "--password", password, registry.address];
        await runCommand("skopeo", logIn("swordfish-8"), { accept: [1] });
        await runCommand("skopeo", logIn(login.password), { accept: [0] });
      });
    }

    if (reader !== undefined) {
      it("lets a reader read and not write", async () => {
        const readers = another(withLogin(registry.address, reader));
        expect(await repository("pushed/app", readers).resolve("v1")).toEqual(image);
        const push = pushImage(repository("pushed/app", readers), "v2", sampleLayers().slice(2));
        await expect(push).rejects.toMatchObject({ code: "denied" });
        await expect(repository("pushed/app").resolve("v2")).rejects.toMatchObject({ code: "not_found" });
      });
    }

    if (login !== undefined) {
      it("serves the command by the name and password in its environment", async () => {
        const env = (password: string) => ({
          LAMELLA_REGISTRY_HOST: registry.address,
          LAMELLA_REGISTRY_USERNAME: login.username,
          LAMELLA_REGISTRY_PASSWORD: password,
        });
        const args = ["copy", name("pushed/app:v1"), `oci:${at("by-command")}:v1`, "--json", "--root", at("root")];
        const refused = await lamella(args, { env: env("swordfish-8") });
        expect(refused).toMatchObject({ status: 4, stdout: "" });
        expect(refused.stderr).not.toContain("swordfish-8");
        const run = await lamella(args, { env: env(login.password) });
        expect(run.status, run.stderr).toBe(0);
        expect(JSON.parse(run.stdout)).toMatchObject({ digest: image.digest });
      });
    }

    if (kind.guard === "certificate") {
      it("serves the command by the certificates that a hosts directory names", async () => {
        const { hosts = "" } = registry;
        const args = ["copy", `${ALIAS}/pushed/app:v1`, `oci:${at("by-hosts")}:v1`, "--json", "--root", at("root")];
        const run = await lamella([...args, "--hosts-dir", hosts]);
        expect(run.status, run.stderr).toBe(0);
        expect(JSON.parse(run.stdout)).toMatchObject({ digest: image.digest });
      });

      it("takes a push by HTTPS at its own address, on loopback too, where its file says so", async () => {
        const { hosts = "" } = registry;
        const args = ["copy", `oci:${at("by-hosts")}:v1`, name("by-command/app:v1"), "--json", "--root", at("root")];
        const run = await lamella([...args, "--hosts-dir", hosts]);
        expect(run.status, run.stderr).toBe(0);
        expect(JSON.parse(run.stdout)).toMatchObject({ digest: image.digest });
      });
    }

    const withoutSkopeo = missing(["skopeo"]);
    it.skipIf(withoutSkopeo !== undefined)(
      `skopeo pulls what we push, and we pull what it pushes${suffix(withoutSkopeo)}`,
      async () => {
        const [pushed, theirs] = [`docker://${name("pushed/app:v1")}`, `docker://${name("skopeo/app:v1")}`];
        expect(await skopeoDigest(pushed, ...registry.skopeo(""))).toBe(image.digest);
        const layout = `oci:${at("skopeo")}:v1`;
        await runCommand("skopeo", ["copy", ...registry.skopeo("src-"), pushed, layout], { accept: [0] });
        expect(await (await openOciLayout(at("skopeo"))).resolve("v1")).toMatchObject({ digest: image.digest });
        // changed on its way, so that it is skopeo's own image that we pull
        const copy = ["copy", "--format", "v2s2", ...registry.skopeo("dest-"), layout, theirs];
        await runCommand("skopeo", copy, { accept: [0] });
        const digest = await skopeoDigest(theirs, ...registry.skopeo(""));
        expect(digest).not.toBe(image.digest);
        expect(await pulledDigest("skopeo/app", "v1")).toBe(digest);
      },
    );

    const withoutContainerd = missing(["root", "containerd", "ctr"]);
    it.skipIf(withoutContainerd !== undefined)(
      `containerd pulls what we push, and we pull what it pushes${suffix(withoutContainerd)}`,
      async () => {
        const [pushed, theirs] = [name("pushed/app:v1"), name("containerd/app:v1")];
        await withContainerd({ root: at("containerd") }, async ({ ctr }) => {
          await ctr(["content", "fetch", ...registry.ctr, pushed]);
          expect((await ctr(["images", "ls", `name==${pushed}`])).output).toContain(image.digest);
          const { output } = await ctr(["content", "ls", "--quiet"]);
          for (const { digest } of [image, manifest.config, ...manifest.layers]) expect(output).toContain(digest);
          await ctr(["images", "tag", pushed, theirs]);
          await ctr(["images", "push", ...registry.ctr, theirs]);
        });
        expect(await pulledDigest("containerd/app", "v1")).toBe(image.digest);
      },
    );

    const withoutBuildah = missing(["root", "buildah"]);
    it.skipIf(withoutBuildah !== undefined)(
      `we pull what buildah pushes, and it pulls what we push${suffix(withoutBuildah)}`,
      async () => {
        const storage = ["--root", at("buildah"), "--runroot", at("buildah-run"), "--storage-driver", "vfs"];
        const buildah = (...parameters: string[]) =>
          runCommand("buildah", [...storage, ...parameters], { accept: [0] });
        const file = at("buildah-digest");
        await buildah("pull", "--quiet", ...registry.skopeo(""), name("pushed/app:v1"));
        const { output } = await buildah("images", "--no-trunc", "--digests", name("pushed/app:v1"));
        expect(output).toContain(image.digest);
        const to = `docker://${name("buildah/app:v1")}`;
        await buildah("push", "--quiet", ...registry.skopeo(""), "--digestfile", file, name("pushed/app:v1"), to);
        expect(await pulledDigest("buildah/app", "v1")).toBe(readFileSync(file, "utf8").trim());
        await buildah("rmi", "--all", "--force");
      },
    );
  });
}

async function gathered<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function suffix(reason: string | undefined): string {
  return reason === undefined ? "" : ` (${reason})`;
}
