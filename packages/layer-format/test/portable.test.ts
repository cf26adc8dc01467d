import { runInNewContext } from "node:vm";

import { build } from "esbuild";
import { describe, expect, it } from "vitest";

/** What a browser has besides the language itself, as far as the package needs it. */
const WEB = {
  TextEncoder,
  TextDecoder,
  AbortController,
  AbortSignal,
  DOMException,
  queueMicrotask,
  setTimeout,
  clearTimeout,
};

/** What a browser's bundler makes of some source of this directory; Node's modules are an error there. */
async function bundleForBrowser(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "ts" },
    bundle: true,
    write: false,
    platform: "browser",
    format: "iife",
    logLevel: "silent",
    // dist is not there before a build
    alias: { "@lamella/refs": new URL("../../refs/src/index.ts", import.meta.url).pathname },
  });
  return outputFiles[0]?.text ?? "";
}

/** Runs a bundle where there is no `process`, no `Buffer` and no `require`, and gives what it hands to `report`. */
async function runAsBrowser(bundle: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    runInNewContext(bundle, { ...WEB, report: resolve, fail: reject });
  });
}

describe("the portable entry", () => {
  it("is bundled for a browser without anything of Node", async () => {
    const text = await bundleForBrowser('export * from "../src/index.js";');
    expect(text).toContain("mergeLayers");
    expect(text).not.toMatch(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*["']node:/);
  });

  it.each(['import "node:fs";', 'export * from "../src/node/index.js";'])(
    "would be seen to need Node: %s",
    async (line) => {
      await expect(bundleForBrowser(`${line} export * from "../src/index.js";`)).rejects.toThrow("node:");
    },
  );

  it("finds nothing of Node where it is run", async () => {
    const names = "[typeof process, typeof Buffer, typeof require, typeof setImmediate]";
    expect(await runAsBrowser(`report(${names}.join())`)).toBe("undefined,undefined,undefined,undefined");
  });

  it("writes tars, reads and merges them where there is nothing of Node", async () => {
    const bundle = await bundleForBrowser(BROWSER_PROGRAM);
    expect(await runAsBrowser(bundle)).toBe(
      JSON.stringify({
        entries: [
          "directory ",
          "directory etc",
          "file etc/kept base",
          "file etc/new überall\n",
          "symlink link etc/new",
        ],
        diffID: "sha256:",
        refused: "tar_invalid",
      }),
    );
  });
});

const BROWSER_PROGRAM = `
  import { byteString, createLayerReader, mergeLayers, writeTar } from "../src/index.js";
  import { createDigester } from "@lamella/refs";

  const utf8 = new TextEncoder();
  const base = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 5, xattrs: new Map([["user.x", utf8.encode("y")]]) };

  async function* inputs(described) {
    for (const { path, kind = "file", text = "", linkTarget = "" } of described) {
      const bytes = utf8.encode(text);
      async function* contents() {
        yield bytes;
      }
      yield { ...base, path, kind, size: bytes.length, linkTarget, deviceMajor: 0, deviceMinor: 0, contents };
    }
  }

  /** Packs a tar and reads it back into a layer in memory. */
  async function layer(...described) {
    const digester = createDigester();
    const entries = [];
    const pieces = [];
    const reader = createLayerReader({
      entry: (entry) => void entries.push(entry),
      contents: (bytes) => void pieces.push(...bytes),
    });
    for await (const chunk of writeTar(inputs(described))) {
      digester.update(chunk);
      reader.push(chunk);
    }
    reader.end();
    async function* readContents(offset, length) {
      yield Uint8Array.from(pieces.slice(offset, offset + length));
    }
    return { diffID: digester.digest(), entries, readContents, [Symbol.asyncDispose]: async () => undefined };
  }

  async function run() {
    const lower = await layer(
      { path: "etc", kind: "directory" },
      { path: "etc/gone", text: "x" },
      { path: "etc/kept", text: "base" },
    );
    const upper = await layer(
      { path: "etc/gone", kind: "whiteout" },
      { path: "etc/new", text: "\\u00fcberall\\n" },
      { path: "link", kind: "symlink", linkTarget: byteString("etc/new") },
    );
    const tree = await mergeLayers([lower, upper]);
    const entries = [];
    for await (const entry of tree.entries()) {
      let text = entry.linkTarget;
      if (entry.kind === "file") for await (const chunk of tree.read(entry)) text += new TextDecoder().decode(chunk);
      entries.push(entry.kind + " " + entry.path + (text === "" ? "" : " " + text));
    }
    let refused;
    try {
      createLayerReader({ entry() {}, contents() {} }).push(new Uint8Array(512).fill(1));
    } catch (error) {
      refused = error.code;
    }
    return JSON.stringify({ entries, diffID: upper.diffID.slice(0, 7), refused });
  }

  run().then(report, fail);
`;
