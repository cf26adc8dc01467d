import { describe, expect, it } from "vitest";

import { parseMountTable, readMountTable } from "../src/mount/mount-table.js";

describe("parseMountTable()", () => {
  it("finds device, place and type, whatever optional fields there are", () => {
    const table = [
      "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
      "40 22 0:39 / /mnt/a\\040b\\134\\012 ro,nosuid shared:1 master:2 - fuse.lamella lamella ro,user_id=0",
      "",
    ].join("\n");
    expect(parseMountTable(table)).toEqual([
      { device: "254:0", place: "/", type: "ext4" },
      { device: "0:39", place: "/mnt/a b\\\n", type: "fuse.lamella" },
    ]);
  });

  it("reads this machine's", async () => {
    expect((await readMountTable()).some(({ place }) => place === "/")).toBe(true);
  });
});
