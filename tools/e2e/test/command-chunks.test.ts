import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { describe, expect, it } from "vitest";

const CLI = join(import.meta.dirname, "../../../apps/cli/dist/lamella.mjs");
const STATIC_IMPORT = /\b(?:import|from)\s*"(\.[^"]+)"/g;

/** All that Node reads of the bundle to run a command, the bundle's own file aside. */
function chunksOf(command: string): Map<string, string> {
  const [, chunk] = new RegExp(`import\\("(\\./chunks/${command}-\\w+\\.mjs)"\\)`).exec(readFileSync(CLI, "utf8"))!;
  const chunks = new Map<string, string>();
  const pending = [resolve(dirname(CLI), chunk!)];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (chunks.has(path)) continue;
    const text = readFileSync(path, "utf8");
    chunks.set(path, text);
    for (const [, imported] of text.matchAll(STATIC_IMPORT)) pending.push(resolve(dirname(path), imported!));
  }
  chunks.delete(CLI);
  return chunks;
}

function textOf(command: string): string {
  return [...chunksOf(command).values()].join("\n");
}

describe("a command of the bundle", () => {
  it("that only asks the store loads nothing that reads layers, makes disks or talks to registries", () => {
    const { disk, images, tag } = { disk: textOf("disk"), images: textOf("images"), tag: textOf("tag") };
    for (const [source, name] of [
      ["layer-format", "LayerFormatError"],
      ["disk-export", "DiskExportError"],
      ["oci-client", "OciClientError"],
    ] as const) {
      expect(disk, source).toContain(name);
      expect(images, source).not.toContain(name);
      expect(tag, source).not.toContain(name);
    }
    expect(images).toContain("lamella.db");
  });

  it.each(["images", "disk", "digest"])("%s finds what it needs in few files", (command) => {
    expect(chunksOf(command).size).toBeLessThan(10);
  });
});
