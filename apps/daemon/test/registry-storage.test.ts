import { ImageStoreError, openImageStore } from "@lamella/image-store";
import { digestOf, OCI_MANIFEST } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { storeRegistryStorage } from "../src/registry-storage.js";
import { temporaryDirectory } from "./fixture.js";

const bytes = Buffer.from("{}");
const manifest = { mediaType: OCI_MANIFEST, digest: digestOf(bytes), size: bytes.length };

describe("a registry's storage in an image store", () => {
  it.each([
    new ImageStoreError("no_space", "cannot name: no room"),
    new Error("cannot name", { cause: new ImageStoreError("no_space", "no room") }),
    Object.assign(new Error("cannot write"), { code: "ENOSPC" }),
  ])("is full where the store has no room for a manifest's name: %s", async (cause) => {
    await using directory = await temporaryDirectory();
    await using store = await openImageStore(directory.path);
    await using storage = storeRegistryStorage({ ...store, tag: () => Promise.reject(cause) });
    await expect(storage.manifests.put("app", manifest, { tag: "v1" })).rejects.toMatchObject({
      code: "storage_full",
      cause,
    });
  });

  it("passes on what is no want of room", async () => {
    await using directory = await temporaryDirectory();
    await using store = await openImageStore(directory.path);
    await using storage = storeRegistryStorage(store);
    await expect(storage.manifests.put("app", manifest, { tag: "v1" })).rejects.toMatchObject({ code: "not_found" });
  });
});
