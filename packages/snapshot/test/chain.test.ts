import { digestOf } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import type { Layer, LayerEntry } from "@lamella/layer-format";
import { describe, expect, it } from "vitest";

import { chainID, chainIDs, openChain } from "../src/index.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const A = digestOf(bytes("a"));
const B = digestOf(bytes("b"));

function layer(diffID: Digest, names: string[], onClose: () => void = () => undefined): Layer {
  const entries = names.map((path): LayerEntry => ({
    path,
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: 0,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    contentOffset: 0,
  }));
  return {
    diffID,
    entries,
    async *readContents() {},
    async [Symbol.asyncDispose]() {
      onClose();
    },
  };
}

describe("chainIDs()", () => {
  it("begins with the first diffID and hashes parent and layer for each further one", () => {
    const second = digestOf(bytes(`${A} ${B}`));
    expect(chainIDs([A, B, A])).toEqual([A, second, digestOf(bytes(`${second} ${A}`))]);
    expect(chainID([A, B])).toBe(second);
  });

  it("is empty for no layers", () => {
    expect(chainIDs([])).toEqual([]);
    expect(chainID([])).toBeUndefined();
  });
});

describe("openChain()", () => {
  it("merges the layers in order", async () => {
    const tree = await openChain([A, B], {
      openLayer: async (diffID) => layer(diffID, [diffID === A ? "one" : "two"]),
    });
    const paths: string[] = [];
    for await (const { path } of tree.entries()) paths.push(path);
    expect(paths).toEqual(["", "one", "two"]);
    await tree[Symbol.asyncDispose]();
  });

  it("closes the layers with the tree", async () => {
    let closed = 0;
    const tree = await openChain([A, A], { openLayer: async (diffID) => layer(diffID, [], () => closed++) });
    await tree[Symbol.asyncDispose]();
    expect(closed).toBe(2);
  });

  it("refuses a layer that is not the one asked for, and closes what was open", async () => {
    let closed = 0;
    const opening = openChain([A, B], { openLayer: async () => layer(A, [], () => closed++) });
    await expect(opening).rejects.toMatchObject({ code: "layer_mismatch" });
    expect(closed).toBe(2);
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(openChain([A], { signal, openLayer: async () => layer(A, []) })).rejects.toThrow("enough");
  });
});
