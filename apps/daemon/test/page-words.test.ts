import { execFileSync } from "node:child_process";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { byteSize, percent } from "../page/format/byte-size.js";
import { curlCommand } from "../page/format/curl-command.js";
import { fileMode } from "../page/format/file-mode.js";
import { diskFileName, shortDigest, shortName } from "../page/format/image-name.js";
import { duration, exactTime, sinceThen } from "../page/format/moment.js";
import { imageRoute, parseRoute } from "../page/route.js";
import { sharesOf, spansOf, totalOf } from "../page/usage/usage-shares.js";

describe("the page's words", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "0.98 KiB"],
    [1024, "1.00 KiB"],
    [10_240, "10.0 KiB"],
    [1023.6 * 1024, "1.00 MiB"],
    [312 << 20, "312 MiB"],
    [5 * 2 ** 40, "5.00 TiB"],
    [2 ** 70, "1048576 PiB"],
  ])("says %d bytes as %s", (bytes, words) => expect(byteSize(bytes)).toBe(words));

  it("says all or nothing only of all and nothing", () => {
    const parts = [0, 0.000_01, 0.5, 0.999_99, 1];
    expect(parts.map(percent)).toEqual(["0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100 %"]);
  });

  it("says how long ago something was, and how long it took", () => {
    const now = Date.parse("2025-03-14T09:00:00Z");
    const before = (seconds: number): string => sinceThen(new Date(now - 1000 * seconds).toISOString(), now);
    expect([-9, 4, 59, 60, 7199, 86_400].map(before)).toEqual([
      "just now",
      "just now",
      "59 sec. ago",
      "1 min. ago",
      "1 hr. ago",
      "1 day ago",
    ]);
    expect(before(86_400 * 40)).toBe("2025-02-02");
    expect([0, 1234, 9949, 9950, 61_000, 7_500_000].map(duration)).toEqual([
      "0.0 s",
      "1.2 s",
      "9.9 s",
      "10 s",
      "1 min 1 s",
      "2 h 5 min",
    ]);
    expect(exactTime("2025-03-14T09:26:53.123Z")).toBe("2025-03-14 09:26:53 UTC");
  });

  it.each([
    ["file", 0o644, "-rw-r--r--"],
    ["directory", 0o1777, "drwxrwxrwt"],
    ["file", 0o4755, "-rwsr-xr-x"],
    ["file", 0o6644, "-rwSr-Sr--"],
    ["symlink", 0o777, "lrwxrwxrwx"],
    ["socket", 0o1660, "srw-rw---T"],
  ] as const)("shows the mode of a %s %o as ls does", (kind, mode, words) =>
    expect(fileMode({ kind, mode })).toBe(words),
  );

  it("leaves out of names what everybody takes for granted", () => {
    expect(shortName("docker.io/library/alpine:3.20")).toBe("alpine:3.20");
    expect(shortName("docker.io/bitnami/redis:7")).toBe("bitnami/redis:7");
    expect(shortName("ghcr.io/a/b:c")).toBe("ghcr.io/a/b:c");
    expect(shortDigest(`sha256:${"0123456789abcdef".repeat(4)}`)).toBe("0123456789ab");
  });
});

describe("curlCommand()", () => {
  it("is what a shell takes for it, whatever the image is called", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), fc.string({ minLength: 1, maxLength: 20 }), (name, key) => {
        const file = diskFileName({ name, format: "erofs-layers" }, 2, 3);
        expect(file).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]*\.2\.erofs$/);
        const url = `http://127.0.0.1:5080/disks/${key.replaceAll("\0", "")}`;
        const command = curlCommand(url, file, true).replace(/^curl/, "printf '%s\\n'");
        const words = execFileSync("/bin/sh", ["-c", command], { env: { LAMELLAD_TOKEN: "a b" }, encoding: "utf8" });
        const expected = ["--fail", "--continue-at", "-", "--output", file, "-H", "Authorization: Bearer a b", url];
        expect(words).toBe(`${expected.join("\n")}\n`);
      }),
      { numRuns: 20 },
    );
    expect(curlCommand("http://h/disks/k", "a.ext4", false)).not.toContain("Authorization");
  });
});

describe("routes", () => {
  it("lead back to the image that they were made for", () => {
    const text = fc.string({ minLength: 1, unit: "grapheme" });
    fc.assert(
      fc.property(text, text, (name, platform) => {
        const image = { name, platform, format: "ext4" } as const;
        expect(parseRoute(imageRoute(image))).toEqual({ view: "image", ...image });
      }),
    );
  });

  it.each([
    ["", "images"],
    ["#", "images"],
    ["#/images", "images"],
    ["#/queue", "queue"],
    ["#/usage", "usage"],
    ["#/nowhere", "unknown"],
    ["#/queue/more", "unknown"],
    ["#/images/a%2Fb", "unknown"],
    ["#/images/%zz?platform=a&format=b", "unknown"],
  ])("takes %j for %s", (hash, view) => expect(parseRoute(hash).view).toBe(view));
});

describe("the picture of the usage", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const used = (size: number, shared: number): Parameters<typeof sharesOf>[0]["images"][number] => ({
    manifest_digest: digest,
    names: [],
    size_bytes: size,
    shared_bytes: shared,
    unique_bytes: size - shared,
  });
  const usage = {
    images: [used(50, 30), used(40, 30)],
    image_bytes: 60,
    disk_bytes: 100,
    layer_bytes: 20,
    blob_bytes: 80,
    collectable_bytes: 5,
    free_bytes: 1000,
  };

  it("counts each byte once", () => {
    const shares = sharesOf(usage);
    expect(shares.map(({ kind, bytes }) => [kind, bytes])).toEqual([
      ["shared", 30],
      ["unique", 30],
      ["other", 20],
      ["layers", 20],
      ["disks", 100],
    ]);
    expect(totalOf(shares)).toBe(usage.blob_bytes + usage.layer_bytes + usage.disk_bytes);
  });

  it("lays the shares end to end", () => {
    expect(spansOf(sharesOf(usage)).map(({ start, length }) => [start, length])).toEqual([
      [0, 0.15],
      [0.15, 0.15],
      [0.3, 0.1],
      [expect.closeTo(0.4), 0.1],
      [0.5, 0.5],
    ]);
  });

  it("is empty where there is nothing", () => {
    const nothing = { ...usage, images: [], image_bytes: 0, disk_bytes: 0, layer_bytes: 0, blob_bytes: 0 };
    expect(spansOf(sharesOf(nothing)).every(({ length }) => length === 0)).toBe(true);
  });
});
