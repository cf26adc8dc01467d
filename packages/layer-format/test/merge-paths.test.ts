import { describe, expect, it } from "vitest";

import { byteString, bytesToByteString } from "../src/byte-string.js";
import { mergeLayers } from "../src/merge/merge.js";
import type { MergeLimits } from "../src/merge/state.js";
import { memoryLayer, type MemoryLayerSpec } from "../src/testing.js";
import { entriesOf, listing, paths } from "./tree-listing.js";

const merge = (...layers: MemoryLayerSpec[]) => mergeLayers(layers.map(memoryLayer));
const limited = (limits: Partial<MergeLimits>, spec: MemoryLayerSpec) => mergeLayers([memoryLayer(spec)], { limits });
const refusal = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe("mergeLayers() places entries", () => {
  it("makes missing parents 0755, owned by root, at time 0", async () => {
    const tree = await merge([{ path: "a/b/c", content: "x", mode: 0o600, uid: 7, mtime: 9 }]);
    expect(await listing(tree)).toEqual([
      "/ directory 755",
      "a directory 755",
      "a/b directory 755",
      'a/b/c file 600 "x"',
    ]);
    expect(await tree.lookup("a/b")).toMatchObject({ uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 });
  });

  it("applies an entry for the root", async () => {
    const tree = await merge(
      [{ path: "", kind: "directory", mode: 0o700, uid: 5, xattrs: { "user.a": "1" } }],
      [{ path: "f" }],
    );
    expect(await tree.lookup("")).toMatchObject({
      mode: 0o700,
      uid: 5,
      xattrs: new Map([["user.a", Uint8Array.of(0x31)]]),
    });
    expect(await paths(tree)).toEqual(["f"]);
  });

  it("refuses a root that is no directory", async () => {
    await expect(merge([{ path: "", linkTarget: "etc" }])).rejects.toThrow(/root cannot be a symlink/);
  });

  it("gives a directory over a directory its attributes wholly and keeps what is below", async () => {
    const tree = await merge(
      [
        { path: "d", kind: "directory", mode: 0o700, uid: 1, xattrs: { "user.old": "1" } },
        { path: "d/f", content: "x" },
      ],
      [{ path: "d", kind: "directory", mode: 0o750, xattrs: { "user.new": "2" } }],
    );
    expect(await listing(tree)).toEqual(["/ directory 755", "d directory 750", 'd/f file 644 "x"']);
    const entry = await tree.lookup("d");
    expect(entry?.uid).toBe(0);
    expect([...(entry?.xattrs.keys() ?? [])]).toEqual(["user.new"]);
  });

  it.each<[string, MemoryLayerSpec[number], string[]]>([
    [
      "a file replaces a directory and all below",
      { path: "d", content: "new" },
      ["/ directory 755", 'd file 644 "new"'],
    ],
    [
      "a symlink replaces a directory and all below",
      { path: "d", linkTarget: "/outside" },
      ["/ directory 755", "d symlink 777 -> /outside"],
    ],
  ])("%s", async (_, entry, expected) => {
    expect(await listing(await merge([{ path: "d/e/f" }], [entry]))).toEqual(expected);
    expect(await listing(await merge([{ path: "d/e/f" }, entry]))).toEqual(expected);
  });

  it("lets the last of several entries win: file, directory, symlink", async () => {
    const tree = await merge([
      { path: "x" },
      { path: "x", kind: "directory" },
      { path: "x/in" },
      { path: "x", linkTarget: "t" },
    ]);
    expect(await listing(tree)).toEqual(["/ directory 755", "x symlink 777 -> t"]);
  });

  it("replaces a symlink by a directory of its name and leaves the target alone (CVE-2026-33056)", async () => {
    const tree = await merge([
      { path: "outside", kind: "directory", mode: 0o700 },
      { path: "d", linkTarget: "/outside" },
      { path: "d", kind: "directory", mode: 0o777 },
    ]);
    expect(await listing(tree)).toEqual(["/ directory 755", "d directory 777", "outside directory 700"]);
  });

  it("replaces a symlink by a file of its name and leaves the target alone", async () => {
    const tree = await merge([
      { path: "t", content: "old" },
      { path: "l", linkTarget: "t" },
      { path: "l", content: "new" },
    ]);
    expect(await listing(tree)).toEqual(["/ directory 755", 'l file 644 "new"', 't file 644 "old"']);
  });

  it("keeps names apart that fold or normalise alike, and any bytes", async () => {
    const names = [
      "A",
      "a",
      "ss",
      byteString("ß"),
      byteString("e\u0301"),
      byteString("é"),
      "\xff\xfe\x80",
      "n\nl",
      "dst",
      "dst-evil",
    ];
    const tree = await merge(names.map((path) => ({ path })));
    expect((await paths(tree)).toSorted()).toEqual(names.toSorted());
  });

  it("keeps a character device 0:0 as a node", async () => {
    const tree = await merge([{ path: "x" }], [{ path: "x", kind: "char", device: { major: 0, minor: 0 } }]);
    expect(await tree.lookup("x")).toMatchObject({ kind: "char", deviceMajor: 0, deviceMinor: 0, links: 1 });
  });

  it("shows every symlink with mode 0777", async () => {
    const tree = await merge([{ path: "l", linkTarget: "x", mode: 0o600, uid: 3 }]);
    expect(await tree.lookup("l")).toMatchObject({ mode: 0o777, uid: 3 });
  });

  it("refuses a symlink with no target", async () => {
    await expect(merge([{ path: "l", linkTarget: "" }])).rejects.toMatchObject(refusal("layer_invalid", /no target/));
  });
});

describe("mergeLayers() resolves parents inside the image", () => {
  it.each(["/etc", "etc", "../../../etc", "./etc/.", "//etc//", "/x/../etc"])(
    "through a symlink to %s",
    async (linkTarget) => {
      const tree = await merge(
        [
          { path: "etc", kind: "directory", mode: 0o711 },
          { path: "l", linkTarget },
        ],
        [{ path: "l/x" }],
      );
      expect(await listing(tree)).toEqual([
        "/ directory 755",
        "etc directory 711",
        'etc/x file 644 ""',
        `l symlink 777 -> ${linkTarget}`,
      ]);
    },
  );

  it.each([
    ["/etc", "etc/x"],
    ["etc", "a/b/etc/x"],
    ["../etc", "a/etc/x"],
    ["../../../../etc", "etc/x"],
    ["../../a/./etc", "a/etc/x"],
  ])("through a symlink two levels down to %s", async (linkTarget, place) => {
    const tree = await merge([{ path: "a/b/l", linkTarget }], [{ path: "a/b/l/x", content: "here" }]);
    expect((await tree.lookup(place))?.size).toBe(4);
    expect((await tree.lookup("a/b/l"))?.kind).toBe("symlink");
  });

  it("through a chain of symlinks", async () => {
    const tree = await merge([{ path: "l", linkTarget: "d" }, { path: "d", linkTarget: "/etc" }, { path: "l/x" }]);
    expect(await paths(tree)).toEqual(["d", "etc", "etc/x", "l"]);
  });

  it("through a symlink to its parent", async () => {
    const tree = await merge([
      { path: "sub/parent", linkTarget: ".." },
      { path: "sub/parent/esc", linkTarget: ".." },
      { path: "sub/parent/esc/f" },
    ]);
    expect(await paths(tree)).toEqual(["esc", "f", "sub", "sub/parent"]);
  });

  it("through a dangling symlink, making what it points to", async () => {
    const tree = await merge([{ path: "l", linkTarget: "/mis/sing" }], [{ path: "l/x" }]);
    expect(await listing(tree)).toEqual([
      "/ directory 755",
      "l symlink 777 -> /mis/sing",
      "mis directory 755",
      "mis/sing directory 755",
      'mis/sing/x file 644 ""',
    ]);
  });

  it("makes nothing for a missing name that `..` leaves again", async () => {
    const tree = await merge([{ path: "l", linkTarget: "mis/../b" }, { path: "l/x" }]);
    expect(await paths(tree)).toEqual(["b", "b/x", "l"]);
  });

  it("refuses a loop of symlinks", async () => {
    await expect(
      merge(
        [
          { path: "a", linkTarget: "b" },
          { path: "b", linkTarget: "a" },
        ],
        [{ path: "a/x" }],
      ),
    ).rejects.toMatchObject(
      refusal(
        "layer_invalid",
        /^cannot apply "a\/x" of layer 1 \(sha256:[0-9a-f]{64}\): its path leads through over 255 symlinks$/,
      ),
    );
  });

  it("refuses a file as a parent", async () => {
    await expect(merge([{ path: "f" }], [{ path: "f/x" }])).rejects.toMatchObject(
      refusal("layer_invalid", /"f\/x" of layer 1 .*"f" in its path is not a dir/),
    );
  });

  it("shows names in messages escaped", async () => {
    await expect(merge([{ path: "f\x1b" }, { path: "f\x1b/x\n" }])).rejects.toThrow('cannot apply "f\\x1b/x\\n"');
  });
});

describe("mergeLayers() links", () => {
  it("shares one inode between names", async () => {
    const tree = await merge([
      { path: "f", content: "x" },
      { path: "a", hardlinkTo: "f" },
      { path: "z", hardlinkTo: "f" },
    ]);
    expect(await listing(tree)).toEqual([
      "/ directory 755",
      'a file 644 "x" x3',
      'f file 644 "x" x3',
      'z file 644 "x" x3',
    ]);
    const inodes = (await entriesOf(tree)).map((entry) => entry.inode);
    expect(inodes).toEqual([0, 1, 1, 1]);
    expect([tree.entryCount, tree.inodeCount]).toEqual([4, 2]);
  });

  it("to a file of a lower layer", async () => {
    const tree = await merge([{ path: "f", content: "x" }], [{ path: "g", kind: "hardlink", linkTarget: "f" }]);
    expect(await listing(tree)).toEqual(["/ directory 755", 'f file 644 "x" x2', 'g file 644 "x" x2']);
  });

  it.each(["/etc/passwd", "../../etc/passwd", "l/passwd", "etc/./passwd"])(
    "with the target %s resolved inside the image",
    async (linkTarget) => {
      const tree = await merge([
        { path: "etc/passwd", content: "p" },
        { path: "l", linkTarget: "/etc" },
        { path: "d/h", kind: "hardlink", linkTarget },
      ]);
      expect((await tree.lookup("d/h"))?.inode).toBe((await tree.lookup("etc/passwd"))?.inode);
    },
  );

  it("to a symlink itself, whose mode stays", async () => {
    const tree = await merge([
      { path: "l", linkTarget: "gone" },
      { path: "m", kind: "hardlink", linkTarget: "l", mode: 0o600, uid: 4 },
    ]);
    expect(await listing(tree)).toEqual(["/ directory 755", "l symlink 777 -> gone x2", "m symlink 777 -> gone x2"]);
    expect((await tree.lookup("l"))?.uid).toBe(4);
  });

  it("and lets the header of the link describe the shared inode", async () => {
    const tree = await merge([
      { path: "f", content: "x", uid: 1, xattrs: { "user.a": "1", "user.b": "1" } },
      {
        path: "g",
        kind: "hardlink",
        linkTarget: "f",
        mode: 0o4755,
        uid: 2,
        mtime: { seconds: 5, nanoseconds: 6 },
        xattrs: { "user.b": "2" },
      },
    ]);
    const entry = await tree.lookup("f");
    expect(entry).toMatchObject({ mode: 0o4755, uid: 2, mtimeSeconds: 5, mtimeNanoseconds: 6, size: 1 });
    expect([...(entry?.xattrs ?? [])].map(([name, value]) => `${name}=${bytesToByteString(value)}`)).toEqual([
      "user.a=1",
      "user.b=2",
    ]);
  });

  it("and leaves the other names alone when one is replaced or removed", async () => {
    const base: MemoryLayerSpec = [
      { path: "a", content: "x" },
      { path: "b", hardlinkTo: "a" },
      { path: "c", hardlinkTo: "a" },
    ];
    const tree = await merge(base, [
      { path: "a", content: "new" },
      { path: "c", kind: "whiteout" },
    ]);
    expect(await listing(tree)).toEqual(["/ directory 755", 'a file 644 "new"', 'b file 644 "x"']);
  });

  it.each<[string, MemoryLayerSpec[], RegExp]>([
    ["a target that comes later", [[{ path: "g", kind: "hardlink", linkTarget: "f" }, { path: "f" }]], /not there/],
    [
      "a directory",
      [
        [
          { path: "d", kind: "directory" },
          { path: "g", kind: "hardlink", linkTarget: "d" },
        ],
      ],
      /directory/,
    ],
    ["the root", [[{ path: "g", kind: "hardlink", linkTarget: "/" }]], /directory/],
    [
      "the parent of a directory",
      [
        [
          { path: "d/e", kind: "directory" },
          { path: "g", kind: "hardlink", linkTarget: "d/e/.." },
        ],
      ],
      /directory/,
    ],
    ["itself", [[{ path: "f" }], [{ path: "f", kind: "hardlink", linkTarget: "f" }]], /not there/],
    [
      "itself by another way",
      [[{ path: "f" }, { path: "l", linkTarget: "." }], [{ path: "f", kind: "hardlink", linkTarget: "l/f" }]],
      /not there/,
    ],
    [
      "a file below what the link replaces",
      [[{ path: "d/f" }], [{ path: "d", kind: "hardlink", linkTarget: "d/f" }]],
      /not there/,
    ],
    ["nothing", [[{ path: "g", kind: "hardlink", linkTarget: "" }]], /directory/],
    [
      "what its layer removed",
      [
        [{ path: "f" }],
        [
          { path: "f", kind: "whiteout" },
          { path: "g", kind: "hardlink", linkTarget: "f" },
        ],
      ],
      /not there/,
    ],
  ])("but not to %s", async (_, layers, message) => {
    await expect(merge(...layers)).rejects.toMatchObject(refusal("layer_invalid", message));
  });
});

describe("mergeLayers() keeps within limits", () => {
  it("of a name and of a path as resolved", async () => {
    const long = "n".repeat(255);
    await expect(merge([{ path: long }])).resolves.toBeDefined();
    await expect(merge([{ path: `${long}n` }])).rejects.toMatchObject(
      refusal("layer_limit", /256 bytes, over the limit of 255/),
    );
    const deep = Array.from({ length: 12 }, () => "d".repeat(200)).join("/");
    await expect(
      merge([{ path: `${deep}/f` }, { path: "l", linkTarget: deep }, { path: `l/${deep}/f` }]),
    ).rejects.toMatchObject(refusal("layer_limit", /resolved path has over 4096 bytes/));
  });

  it("of a symlink's target", async () => {
    await expect(merge([{ path: "l", linkTarget: "t".repeat(4095) }])).resolves.toBeDefined();
    await expect(merge([{ path: "l", linkTarget: "t".repeat(4096) }])).rejects.toMatchObject(
      refusal("layer_limit", /over 4095 bytes/),
    );
  });

  it("of depth that symlinks would hide", async () => {
    const spec: MemoryLayerSpec[number][] = [];
    for (let level = 0; level < 40; level++) {
      const from = level === 0 ? "" : `s${level - 1}/`;
      spec.push({ path: `${from}${"a/".repeat(100)}b`, kind: "directory" });
      spec.push({ path: `s${level}`, linkTarget: `${from}${"a/".repeat(100)}b` });
    }
    await expect(merge(spec)).rejects.toMatchObject(refusal("layer_limit", /resolved path/));
  });

  it("of names in all", async () => {
    await expect(limited({ names: 4 }, [{ path: "a/b" }, { path: "c" }])).resolves.toBeDefined();
    await expect(limited({ names: 3 }, [{ path: "a/b" }, { path: "c" }])).rejects.toMatchObject(
      refusal("layer_limit", /over 3 names/),
    );
  });

  it("of the extended attributes that its links give a file, which may be many", async () => {
    const links = (names: number): MemoryLayerSpec => [
      { path: "f", xattrs: { "user.0": "" } },
      ...Array.from({ length: 100 }, (_, index) => ({
        path: `h${index}`,
        kind: "hardlink" as const,
        linkTarget: "f",
        xattrs: { [`user.${index % names}`]: "x" },
      })),
    ];
    await expect(limited({ xattrs: 10 }, links(10))).resolves.toBeDefined();
    await expect(limited({ xattrs: 10 }, links(11))).rejects.toMatchObject(
      refusal("layer_limit", /over 10 extended attributes/),
    );
  });

  it("of steps through symlinks", async () => {
    const spec: MemoryLayerSpec = [
      { path: "a", kind: "directory" },
      { path: "l", linkTarget: "a/../".repeat(200) },
      // Of two that follow each other in one directory, the second takes no steps.
      ...Array.from({ length: 100 }, (_, index) => ({ path: `${"l/".repeat(100 + (index % 2))}f${index}` })),
    ];
    await expect(limited({ pathSteps: 100_000 }, spec)).rejects.toMatchObject(
      refusal("layer_limit", /over 100000 steps/),
    );
  });
});
