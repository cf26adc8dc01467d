import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers } from "@lamella/demo/sample";
import { copyImage, createOciLayout, createRegistryClient, openOciLayout } from "@lamella/oci-client";
import type { RegistryClient, RegistryClientOptions, Repository } from "@lamella/oci-client";
import { missing, requireTool } from "@lamella/oracles";
import { digestOf, OCI_MANIFEST, parseManifest, parseReference } from "@lamella/refs";
import type { Descriptor, Digest, ImageManifest } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

// one function of the oracles' own, which nobody else has needed yet
import { withContainerd } from "../../oracles/src/containerd.js";
import { lamella } from "./lamella.js";
import { realRegistries, withLogin } from "./real-registry.js";
import type { RealRegistry } from "./real-registry.js";

describe.each(realRegistries)("$title", ({ needs, listsReferrers, start }) => {
  const reason = missing(needs);
  describe.skipIf(reason !== undefined)(reason ?? "a real registry", () => {
    let work = "";
    let registry: RealRegistry;
    let client: RegistryClient;
    let image: Descriptor;
    let manifest: ImageManifest;

    beforeAll(async () => {
      work = mkdtempSync(join(tmpdir(), "lamella-real-registries-"));
      registry = await start(join(work, "registry"));
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

    async function pulledDigest(path: string, tag: string): Promise<Digest> {
      const layout = await createOciLayout(at(`pulled-${path.replace("/", "-")}`));
      const { descriptor } = await copyImage(
        { images: repository(path), name: tag },
        { images: layout, name: "pulled" },
      );
      return descriptor.digest;
    }
  });
});
