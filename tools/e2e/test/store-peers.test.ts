import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers } from "@lamella/demo/sample";
import { startRegistry } from "@lamella/fixtures";
import type { RunningRegistry } from "@lamella/fixtures";
import { createRegistryClient } from "@lamella/oci-client";
import { missing, runCommand, withContainerd } from "@lamella/oracles";
import type { Containerd } from "@lamella/oracles";
import { parseReference } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

const reason = missing(["root", "docker-registry", "skopeo", "containerd", "ctr", "buildah", "podman", "tar"]);

/** What an image is, whoever packs it. */
interface Identity {
  readonly manifest: string;
  readonly config: string;
  readonly layers: readonly string[];
  readonly diffIDs: readonly string[];
}

describe.skipIf(reason !== undefined)(
  `the store beside other tools${reason === undefined ? "" : `: ${reason}`}`,
  () => {
    const work = mkdtempSync(join(tmpdir(), "lamella-store-peers-"));
    const at = (name: string): string => join(work, name);
    const root = at("store");
    const env = { TMPDIR: work };
    let registry: RunningRegistry;
    let app = "";
    let pulled: Identity;

    beforeAll(async () => {
      mkdirSync(at("registry"));
      registry = await startRegistry({ data: at("registry"), readOnly: false });
      app = `${registry.address}/one/app:v1`;
      const client = createRegistryClient();
      try {
        await pushImage(client.repository(parseReference(app)), "v1", sampleLayers().slice(1));
      } finally {
        await client.close();
      }
      await output(["pull", app]);
      await output(["tag", app, "mine"]);
      pulled = await identity("mine");
      expect(pulled.layers).toHaveLength(2);
    });
    afterAll(async () => {
      await registry?.close();
      rmSync(work, { recursive: true, force: true });
    });

    async function output(args: readonly string[]): Promise<string> {
      const run = await lamella([...args, "--root", root], { env });
      expect(run.status, run.stderr).toBe(0);
      return run.stdout;
    }

    async function tool(program: string, ...parameters: string[]): Promise<string> {
      return (await runCommand(program, parameters, { accept: [0], environment: env })).output;
    }

    /** What the store has under a name of the user's own. */
    async function identity(name: string): Promise<Identity> {
      const { layers } = JSON.parse(await output(["inspect", name, "--json"])) as {
        layers: { digest: string; diffID: string }[];
      };
      const { config } = JSON.parse(await output(["manifest", name])) as { config: Descriptor };
      return {
        manifest: (await output(["digest", name])).trim(),
        config: config.digest,
        layers: layers.map(({ digest }) => digest),
        diffIDs: layers.map(({ diffID }) => diffID),
      };
    }

    async function imported(archive: string, name: string): Promise<Identity> {
      await output(["pull", archive, "--name", name]);
      expect(await output(["diff", "mine", name])).toBe("");
      return identity(name);
    }

    describe("as it stands", () => {
      it("is a layout that skopeo copies from, by every name, with equal digests", async () => {
        for (const [number, name] of [app, "docker.io/library/mine:latest"].entries()) {
          const to = at(`copied-${number}`);
          await tool("skopeo", "copy", "--preserve-digests", `oci:${root}:${name}`, `dir:${to}`);
          expect(await tool("skopeo", "manifest-digest", join(to, "manifest.json"))).toContain(pulled.manifest);
        }
      });

      it("is a layout that containerd imports and unpacks, with equal digests", async () => {
        await tool("tar", "-C", root, "-cf", at("store.tar"), "oci-layout", "index.json", "blobs");
        await withContainerd({ root: at("containerd") }, async ({ ctr }) => {
          await ctr(["images", "import", "--digests", at("store.tar")]);
          expect(await listed(ctr, app)).toContain(pulled.manifest);
          expect(await listed(ctr, "docker.io/library/mine:latest")).toContain(pulled.manifest);
          const { output: blobs } = await ctr(["content", "ls", "--quiet"]);
          for (const digest of [pulled.manifest, pulled.config, ...pulled.layers]) expect(blobs).toContain(digest);
          expect((await ctr(["images", "check", `name==${app}`])).output).toMatch(/complete \(3\/3\).*true/);
        });
      });

      it("is refused by both when a byte of a layer is wrong", async () => {
        const bad = at("bad");
        await tool("cp", "-a", root, bad);
        writeFileSync(join(bad, "blobs/sha256", pulled.layers[1]!.slice("sha256:".length)), "damaged");
        const copy = runCommand("skopeo", ["copy", `oci:${bad}:${app}`, `dir:${at("refused")}`], {
          accept: [0],
          environment: env,
        });
        await expect(copy).rejects.toThrow();
        await tool("tar", "-C", bad, "-cf", at("bad.tar"), "oci-layout", "index.json", "blobs");
        await withContainerd({ root: at("containerd-bad") }, async ({ ctr }) => {
          await expect(ctr(["images", "import", at("bad.tar")])).rejects.toThrow();
        });
      });
    });

    describe("imports", () => {
      it("what skopeo archives: an OCI archive with equal digests; a docker archive, which is not compressed, with its config and diffIDs", async () => {
        await tool(
          "skopeo",
          "copy",
          "--src-tls-verify=false",
          `docker://${app}`,
          `oci-archive:${at("skopeo-oci.tar")}:x`,
        );
        expect(await imported(`oci-archive:${at("skopeo-oci.tar")}`, "skopeo-oci")).toEqual(pulled);
        const to = `docker-archive:${at("skopeo-docker.tar")}:x:1`;
        await tool("skopeo", "copy", "--src-tls-verify=false", `docker://${app}`, to);
        const { config, diffIDs } = await imported(`docker-archive:${at("skopeo-docker.tar")}`, "skopeo-docker");
        expect({ config, diffIDs }).toEqual({ config: pulled.config, diffIDs: pulled.diffIDs });
      });

      it("what buildah archives, which compresses layers anew, with its config and diffIDs", async () => {
        const buildah = (...parameters: string[]): Promise<string> =>
          tool(
            "buildah",
            "--root",
            at("buildah"),
            "--runroot",
            at("buildah-run"),
            "--storage-driver",
            "vfs",
            ...parameters,
          );
        await buildah("pull", "--tls-verify=false", app);
        await buildah("push", app, `oci-archive:${at("buildah-oci.tar")}:x`);
        await buildah("push", app, `docker-archive:${at("buildah-docker.tar")}:x:1`);
        for (const form of ["oci", "docker"]) {
          const { config, diffIDs } = await imported(`${form}-archive:${at(`buildah-${form}.tar`)}`, `buildah-${form}`);
          expect({ config, diffIDs }).toEqual({ config: pulled.config, diffIDs: pulled.diffIDs });
        }
      });

      it("what podman saves, which compresses layers anew, with its config and diffIDs", async () => {
        const podman = (...parameters: string[]): Promise<string> =>
          tool(
            "podman",
            "--root",
            at("podman"),
            "--runroot",
            at("podman-run"),
            "--storage-driver",
            "vfs",
            ...parameters,
          );
        await podman("pull", "--tls-verify=false", app);
        for (const form of ["oci", "docker"]) {
          await podman("save", "--format", `${form}-archive`, "-o", at(`podman-${form}.tar`), app);
          const { config, diffIDs } = await imported(`${form}-archive:${at(`podman-${form}.tar`)}`, `podman-${form}`);
          expect({ config, diffIDs }).toEqual({ config: pulled.config, diffIDs: pulled.diffIDs });
        }
      });
    });
  },
);

async function listed(ctr: Containerd["ctr"], name: string): Promise<string> {
  return (await ctr(["images", "ls", `name==${name}`])).output;
}
