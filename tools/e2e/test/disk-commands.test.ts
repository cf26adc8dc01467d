import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella } from "./lamella.js";

/** What is read from a disk, and what is compared with one. Needs no root. */
describe("lamella ls, cat and diff of a disk", () => {
  let work = "";
  let directory = "";

  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), "lamella-disks-"));
    directory = join(work, "tree");
    mkdirSync(join(directory, "etc"), { recursive: true });
    writeFileSync(join(directory, "etc/text"), "line\n".repeat(50_000));
    linkSync(join(directory, "etc/text"), join(directory, "text"));
    symlinkSync("etc/text", join(directory, "link"));
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it.each(["ext4", "erofs"])("an %s disk is what it was made of", async (format) => {
    const disk = join(work, `disk.${format}`);
    expect(await lamella(["disk", `dir:${directory}`, "-o", disk])).toMatchObject({ status: 0 });
    expect(await lamella(["diff", `dir:${directory}`, `disk:${disk}`])).toMatchObject({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(await lamella(["cat", `disk:${disk}`, "/link"])).toMatchObject({
      status: 0,
      stdout: "line\n".repeat(50_000),
    });
    const { stdout } = await lamella(["ls", "-R", "--json", `disk:${disk}`]);
    const paths = stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { path: string }).path);
    expect(paths).toEqual(["etc", "etc/text", "link", "text"]);
  });

  it("differences are told, with the status of diff(1)", async () => {
    const disk = join(work, "before.erofs");
    expect(await lamella(["disk", `dir:${directory}`, "-o", disk])).toMatchObject({ status: 0 });
    writeFileSync(join(directory, "new\n"), "");
    rmSync(join(directory, "link"));
    writeFileSync(join(directory, "etc/text"), "LINE\n".repeat(50_000));
    const args = ["diff", `disk:${disk}`, `dir:${directory}`, "--ignore", "mtime"];
    expect(await lamella(args)).toMatchObject({
      status: 1,
      stdout: "~ /etc/text  (content)\n- /link\n+ /new\\n\n~ /text  (content)\n",
    });
    const { status, stdout } = await lamella([...args, "--json"]);
    const documents = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect({ status, changes: documents.map(({ change }) => change) }).toEqual({
      status: 1,
      changes: ["changed", "removed", "added", "changed"],
    });
    expect(documents[0]).toMatchObject({
      aspects: ["content"],
      before: { path: "etc/text" },
      after: { path: "etc/text" },
    });
    expect(documents[2]).toMatchObject({ after: { path: "new\\n", kind: "file" } });
  });

  it("what is no disk, a damaged one and an unknown aspect have the statuses of failures", async () => {
    const file = join(work, "none");
    writeFileSync(file, Buffer.alloc(5000));
    expect(await lamella(["ls", `disk:${file}`])).toMatchObject({ status: 1, stdout: "" });
    const magic = Buffer.alloc(5000);
    magic.writeUInt32LE(0xe0f5e1e2, 1024);
    writeFileSync(file, magic);
    expect(await lamella(["ls", `disk:${file}`])).toMatchObject({ status: 5, stdout: "" });
    expect(await lamella(["ls", `disk:${work}/missing`])).toMatchObject({ status: 3 });
    expect(await lamella(["diff", `disk:${file}`, `disk:${file}`, "--ignore", "weight"])).toMatchObject({ status: 2 });
  });
});
