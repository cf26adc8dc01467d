import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  linkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  openSync,
  writeSync,
  closeSync,
  chmodSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { extract } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { archive, file, GNU, header, long, pax, padded } from "./tar-builder.js";
import { readLayer, type ReadEntry } from "./read-layer.js";

const everything = archive(
  header({ name: "./", type: "5" }),
  pax({ path: "long/".repeat(60), "SCHILY.xattr.user.a": "\0\xff", mtime: "1.5" }),
  header({ type: "5" }),
  file("a", "x".repeat(1300)),
  long("L", "n".repeat(200)),
  file("n", "y".repeat(512)),
  pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5000" }),
  header({ name: "s", size: 512 + 700 }),
  padded("2\n0\n300\n4000\n400\n"),
  padded("z".repeat(700)),
  header({
    name: "o",
    type: "S",
    magic: GNU,
    size: 5,
    raw: [
      [386, `${"0".repeat(11)}\0${"5".padStart(11, "0")}\0`],
      [482, "\x01"],
      [483, `${"12".padStart(11, "0")}\0`],
    ],
  }),
  Buffer.alloc(512),
  padded("abcde"),
  file(".wh.gone", "body"),
  file("last", "!"),
);

describe("createLayerReader(): chunks", () => {
  it("gives the same for every way of splitting the input", () => {
    const whole = readLayer(everything, { chunks: [everything.length] });
    expect(whole.map(({ entry }) => entry.kind)).toEqual([
      "directory",
      "directory",
      "file",
      "file",
      "file",
      "file",
      "whiteout",
      "file",
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 20 }), (chunks) => {
        expect(readLayer(everything, { chunks })).toEqual(whole);
      }),
    );
    expect(readLayer(everything, { chunks: [1] })).toEqual(whole);
  });

  it("either reads a mangled tar the same in all chunkings or refuses it for the same reason", () => {
    const attempt = (tar: Uint8Array, chunks: readonly number[]): unknown => {
      try {
        return readLayer(tar, { chunks });
      } catch (error) {
        return String(error);
      }
    };
    const edit = fc.record({ at: fc.nat(everything.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 700 }), (edits, chunk) => {
        const tar = Buffer.from(everything);
        for (const { at, byte } of edits) tar[at] = byte;
        expect(attempt(tar, [chunk])).toEqual(attempt(tar, [tar.length]));
      }),
      { numRuns: 300 },
    );
  });
});

interface Extracted {
  readonly name: string;
  readonly type: string;
  readonly body: string;
}

async function extractAll(tar: Uint8Array): Promise<Extracted[]> {
  const unpack = extract();
  const found: Extracted[] = [];
  unpack.on("entry", (entry, stream, next) => {
    const parts: Buffer[] = [];
    stream.on("data", (part) => parts.push(part as Buffer));
    stream.on("end", () => {
      found.push({ name: entry.name, type: entry.type, body: Buffer.concat(parts).toString("latin1") });
      next();
    });
  });
  const finished = new Promise((resolve, reject) => {
    unpack.on("finish", () => resolve(undefined));
    unpack.on("error", reject);
  });
  unpack.end(Buffer.from(tar));
  await finished;
  return found;
}

describe("createLayerReader(): against tar-stream", () => {
  it("agrees on well-formed archives of ASCII names", async () => {
    const name = fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,60}){0,4}$/);
    const entry = fc.record({
      name,
      body: fc.string({ unit: "binary-ascii", maxLength: 1200 }),
      style: fc.constantFrom("plain", "pax", "gnu"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 6 }), async (entries) => {
        const tar = archive(
          ...entries.map(({ name, body, style }) =>
            style === "pax"
              ? Buffer.concat([
                  pax({ path: name, size: String(body.length) }),
                  header({ name: "x", size: body.length }),
                  padded(body),
                ])
              : style === "gnu"
                ? Buffer.concat([long("L", name), file("x", body, { magic: GNU })])
                : file(name.slice(0, 99).replace(/\/$/, ""), body),
          ),
        );
        const ours = readLayer(tar).map(({ entry: e, contents }) => ({
          name: e.path,
          type: e.kind,
          body: contents.toString("latin1"),
        }));
        expect(ours).toEqual(await extractAll(tar));
      }),
      { numRuns: 60 },
    );
  });
});

const hasGnuTar = ((): boolean => {
  try {
    return execFileSync("tar", ["--version"], { encoding: "utf8" }).startsWith("tar (GNU tar)");
  } catch {
    return false;
  }
})();

describe.skipIf(!hasGnuTar)("createLayerReader(): archives of GNU tar", () => {
  let directory = "";
  const deep = `${"d".repeat(120)}/${"e".repeat(120)}`;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "lamella-tar-"));
    mkdirSync(join(directory, deep), { recursive: true });
    writeFileSync(join(directory, "plain"), "plain");
    chmodSync(join(directory, "plain"), 0o750);
    utimesSync(join(directory, "plain"), 1_600_000_000.25, 1_600_000_000.25);
    linkSync(join(directory, "plain"), join(directory, "same"));
    symlinkSync("t".repeat(150), join(directory, "symlink"));
    writeFileSync(join(directory, deep, "leaf"), "leaf");
    writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0x62, 0xff, 0xfe])]), "raw");
    const sparse = openSync(join(directory, "sparse"), "w");
    for (let index = 1; index <= 30; index++) writeSync(sparse, `${index}`, index * 65_536);
    closeSync(sparse);
    truncateSync(join(directory, "sparse"), 4_000_000);
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function pack(...options: readonly string[]): ReadEntry[] {
    return readLayer(
      execFileSync("tar", ["--sort=name", ...options, "-C", directory, "-cf", "-", "."], { maxBuffer: 1 << 26 }),
    );
  }

  function find(entries: readonly ReadEntry[], path: string): ReadEntry {
    const found = entries.find(({ entry }) => entry.path === path);
    if (found === undefined) throw new Error(`there is no ${path}`);
    return found;
  }

  it.each([
    ["gnu", []],
    ["oldgnu", []],
    ["pax", ["--sparse-version=0.0"]],
    ["pax", ["--sparse-version=0.1"]],
    ["pax", ["--sparse-version=1.0"]],
  ])("reads --format=%s %j with sparse files and every kind of name", (format, options) => {
    const entries = pack(`--format=${format}`, "--sparse", ...options);
    const plain = find(entries, "plain");
    expect(plain.contents.toString()).toBe("plain");
    expect([plain.entry.mode, plain.entry.mtimeSeconds, plain.entry.mtimeNanoseconds]).toEqual([
      0o750,
      1_600_000_000,
      format === "pax" ? 250_000_000 : 0,
    ]);
    expect(find(entries, "same").entry).toMatchObject({ kind: "hardlink", linkTarget: "./plain" });
    expect(find(entries, "symlink").entry).toMatchObject({ kind: "symlink", linkTarget: "t".repeat(150) });
    expect(find(entries, `${deep}/leaf`).contents.toString()).toBe("leaf");
    expect(find(entries, "b\xff\xfe").contents.toString()).toBe("raw");
    expectSparse(find(entries, "sparse"));
  });

  it.each(["ustar", "v7"])("reads --format=%s", (format) => {
    const entries = readLayer(
      execFileSync("tar", [`--format=${format}`, "-C", directory, "-cf", "-", "plain", "same", "sparse"], {
        maxBuffer: 1 << 26,
      }),
    );
    expect(find(entries, "plain").contents.toString()).toBe("plain");
    expect(find(entries, "same").entry.kind).toBe("hardlink");
    expect(find(entries, "sparse").contents).toHaveLength(4_000_000);
  });

  function expectSparse({ entry, contents }: ReadEntry): void {
    expect(entry.size).toBe(4_000_000);
    expect(entry.extents?.length).toBeGreaterThanOrEqual(30);
    const whole = Buffer.alloc(entry.size);
    let at = 0;
    for (const { offset, length } of entry.extents ?? []) {
      contents.copy(whole, offset, at, at + length);
      at += length;
    }
    expect(at).toBe(contents.length);
    for (let index = 1; index <= 30; index++) {
      expect(whole.toString("latin1", index * 65_536, index * 65_536 + 3).replaceAll("\0", "")).toBe(`${index}`);
    }
  }
});
