import { createRegistryClient } from "@lamella/oci-client";
import { afterAll, describe, expect, it } from "vitest";

import { openSource } from "../src/image-location.js";

describe("openSource()", () => {
  const client = createRegistryClient();
  afterAll(() => client.close());

  it("takes a reference, with latest as the tag that nobody named", async () => {
    expect(await openSource("alpine", client)).toMatchObject({
      name: "latest",
      reference: "docker.io/library/alpine:latest",
    });
  });

  it("goes by the digest where a reference has one", async () => {
    const digest = `sha256:${"a".repeat(64)}`;
    expect(await openSource(`127.0.0.1:5000/app:v1@${digest}`, client)).toMatchObject({ name: digest });
  });

  it.each(["dir:x", "disk:x", "layer:x"])("does not take %s for the name of an image", async (text) => {
    await expect(openSource(text, client)).rejects.toMatchObject({ code: "source_unsupported" });
  });

  it.each(["", "a//b", "alpine@sha256:abc", "alpine@md5:abc"])("refuses %j, which is no reference", async (text) => {
    await expect(openSource(text, client)).rejects.toMatchObject({ code: "source_invalid" });
  });

  it.each(["oci:/nonexistent:latest", "oci-archive:/nonexistent", "docker-archive:/nonexistent:a"])(
    "reports %s, which is not there",
    async (text) => {
      await expect(openSource(text, client)).rejects.toMatchObject({ code: "not_found" });
    },
  );
});
