import { createRegistryClient } from "@lamella/oci-client";
import { afterAll, describe, expect, it } from "vitest";

import { openSource } from "../src/source.js";

describe("openSource()", () => {
  const client = createRegistryClient();
  afterAll(() => client.close());

  it("takes a reference, with latest as the tag that nobody named", async () => {
    expect(await openSource("alpine", client)).toMatchObject({
      target: "latest",
      reference: "docker.io/library/alpine:latest",
    });
  });

  it("goes by the digest where a reference has one", async () => {
    const digest = `sha256:${"a".repeat(64)}`;
    expect(await openSource(`127.0.0.1:5000/app:v1@${digest}`, client)).toMatchObject({ target: digest });
  });

  it.each(["dir:x", "docker-archive:x.tar", "oci-archive:x.tar", "disk:x", "layer:x"])(
    "does not take %s for the name of an image",
    async (text) => {
      await expect(openSource(text, client)).rejects.toMatchObject({ code: "source_unsupported" });
    },
  );

  it.each(["", "a//b", "alpine@sha256:abc", "alpine@md5:abc"])("refuses %j, which is no reference", async (text) => {
    await expect(openSource(text, client)).rejects.toMatchObject({ code: "source_invalid" });
  });

  it("refuses an OCI layout that is not there", async () => {
    await expect(openSource("oci:/nonexistent:latest", client)).rejects.toMatchObject({ code: expect.any(String) });
  });
});
