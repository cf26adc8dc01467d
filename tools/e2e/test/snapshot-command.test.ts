import { appendFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pushImage, sampleLayers, startRegistry } from "@lamella/demo/sample";
import type { LocalRegistry } from "@lamella/demo/sample";
import { fixtures, missingForFixtures } from "@lamella/fixtures";
import { createRegistryClient } from "@lamella/oci-client";
import { missing, runCommand, withContainerd } from "@lamella/oracles";
import { parseReference } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lamella, type Run } from "./lamella.js";

const MINUTES = 60_000;
const EPOCH = "1700000000";

let work = "";
beforeAll(async () => void (work = await mkdtemp(join(tmpdir(), "lamella-snapshots-"))));
afterAll(() => rm(work, { recursive: true, force: true }));

/** `lamella snapshot` as a user runs it, with snapshots of its own. */
function snapshots(name: string): (...args: string[]) => Promise<Run> {
  return (...args) =>
    lamella(["snapshot", ...args, "--root", join(work, name), "--no-progress"], { env: { SOURCE_DATE_EPOCH: EPOCH } });
}

async function output(running: Promise<Run>): Promise<string> {
  const run = await running;
  expect(run.status, run.stderr).toBe(0);
  return run.stdout;
}

async function json(running: Promise<Run>) {
  return JSON.parse(await output(running));
}

describe.skipIf(missing(["tar", "getfattr"]) !== undefined)("lamella snapshot", () => {
  let registry: LocalRegistry;
  let source = "";

  beforeAll(async () => {
    registry = await startRegistry(join(work, "registry"));
    source = `${registry.address}/sample`;
    await using client = createRegistryClient();
    await pushImage(client.repository(parseReference(source)), "latest", sampleLayers());
  });
  afterAll(() => registry?.[Symbol.asyncDispose]());

  it("prepares, changes, compares and commits", async () => {
    const snapshot = snapshots("life");
    const directory = join(work, "life-checkout");
    const made = await json(snapshot("prepare", "first step", "--label", "a=b=c", "--json"));
    expect(made).toMatchObject({ key: "first step", mounts: [{ type: "checkout", options: ["rw"] }] });
    expect(await output(snapshot("mounts", "first step"))).toBe("lamella snapshot mount 'first step' DIRECTORY\n");
    await output(snapshot("mount", "first step", directory));
    await writeFile(join(directory, "hello"), "world");
    expect((await snapshot("commit", "done", "first step")).status).toBe(1);
    await output(snapshot("umount", "first step", directory));

    const layer = join(work, "layer.tar.gz");
    const diff = await json(snapshot("diff", "first step", "-o", layer, "--json"));
    expect(diff).toMatchObject({
      output: layer,
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      entryCount: 2,
    });
    expect((await runCommand("tar", ["-xzOf", layer, "hello"], { accept: [0] })).output).toBe("world");
    const times = (await runCommand("tar", ["-tvzf", layer, "--full-time", "--utc"], { accept: [0] })).output;
    expect(times).toContain("2023-11-14 22:13:20");

    expect(await output(snapshot("commit", "done", "first step", "--label", "of=me"))).toBe("done\n");
    const stat = await json(snapshot("stat", "done", "--json"));
    expect(stat).toMatchObject({ kind: "committed", name: "done", labels: { of: "me" } });
    expect(stat.usage.bytes).toBeGreaterThan(0);
    await output(snapshot("view", "look", "done"));
    expect(await json(snapshot("ls", "--json"))).toMatchObject([
      { kind: "committed", name: "done" },
      { kind: "view", name: "look", parent: "done" },
    ]);
    expect(await json(snapshot("ls", "kind==active", "labels.of==me", "--json"))).toMatchObject([{ name: "done" }]);
  });

  it("ends with the status that the failure has", async () => {
    const snapshot = snapshots("failures");
    await output(snapshot("prepare", "a"));
    await output(snapshot("commit", "parent", "a"));
    await output(snapshot("prepare", "child", "parent"));
    expect((await snapshot("stat", "none")).status).toBe(3);
    expect((await snapshot("prepare", "b", "none")).status).toBe(3);
    expect((await snapshot("prepare", "child")).status).toBe(1);
    expect((await snapshot("prepare", "b", "child")).status).toBe(2);
    expect((await snapshot("ls", "colour==red")).status).toBe(2);
    expect((await snapshot("prepare", "b", "parent", "--image", source)).status).toBe(2);
    expect((await snapshot("prepare", "b", "--label", "nothing")).status).toBe(2);
    expect((await snapshot("rm", "parent")).status).toBe(1);
    expect(await output(snapshot("rm", "child", "parent"))).toBe("child\nparent\n");
    const other = await snapshot("ls", "--driver", "directory");
    expect(other).toMatchObject({ status: 1, stderr: expect.stringContaining('they were made with "tree"') });
    expect(await output(snapshot("cleanup"))).toBe("");
  });

  it("goes with its image when garbage is collected, of whichever driver", async () => {
    const snapshot = snapshots("collected");
    const root = join(work, "collected");
    await output(snapshot("prepare", "work", "--image", source, "--driver", "directory"));
    await output(lamella(["pull", source, "--root", root, "--no-progress"]));
    const unpacked = await json(snapshot("ls", "kind==committed", "--json", "--driver", "directory"));
    expect(unpacked.length).toBe(sampleLayers().length);
    await output(lamella(["rm", source, "--root", root]));
    await output(snapshot("rm", "work", "--driver", "directory"));
    const { snapshots: gone } = await json(lamella(["gc", "--grace", "0", "--root", root, "--json"]));
    expect(gone.toSorted()).toEqual(unpacked.map(({ name }: { name: string }) => name));
    expect(await json(snapshot("ls", "--json", "--driver", "directory"))).toEqual([]);
  });

  it("makes an image of one, which is the same each time", async () => {
    const snapshot = snapshots("image");
    const directory = join(work, "image-checkout");
    await output(snapshot("prepare", "work", "--image", source));
    await output(snapshot("mount", "work", directory));
    await writeFile(join(directory, "added"), "by hand");
    await output(snapshot("umount", "work", directory));
    const flags = ["--cmd", "/bin/app", "--env", "A=1", "--message", "a test", "--json"];
    const active = await json(snapshot("image", "work", `oci:${join(work, "out")}:active`, ...flags));
    await output(snapshot("commit", "done", "work"));
    await output(snapshot("prepare", "next", "done"));
    const next = await json(snapshot("image", "next", `oci:${join(work, "out")}:next`, ...flags));
    expect(next.digest).toBe(active.digest);
    expect(active.layer.entryCount).toBe(2);

    const root = join(work, "reader");
    const image = await json(lamella(["inspect", `oci:${join(work, "out")}:next`, "--json", "--root", root]));
    expect(JSON.stringify(image)).toContain("/bin/app");
    const listed = await output(lamella(["cat", `oci:${join(work, "out")}:next`, "/added", "--root", root]));
    expect(listed).toBe("by hand");
    const changes = await lamella(["diff", source, `oci:${join(work, "out")}:next`, "--root", root, "--no-progress"]);
    expect(changes.stdout.trim().split("\n")).toContain("+ /added");
    expect(changes.stdout).not.toMatch(/^-/m);
  });

  it("refuses to build on an image that has become another one", async () => {
    const snapshot = snapshots("changed");
    const layout = join(work, "moving");
    await output(lamella(["copy", source, `oci:${layout}:it`, "--root", join(work, "reader")]));
    await output(snapshot("prepare", "work", "--image", `oci:${layout}:it`));
    const same = await json(snapshot("image", "work", `oci:${join(work, "kept")}:same`, "--json"));
    expect(same.layer).toBeUndefined();
    await output(
      lamella(["copy", `oci:${join(work, "kept")}:same`, `oci:${layout}:it`, "--root", join(work, "reader")]),
    );
    const refused = await snapshot("image", "work", `oci:${join(work, "kept")}:other`);
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("name the one that is meant with --base"),
    });
    await output(snapshot("image", "work", `oci:${join(work, "kept")}:other`, "--base", source));
  });
});

const reason =
  missing(["root", "containerd", "ctr", "runc", "skopeo", "umoci", "tar", "getfattr"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)("an image of a changed snapshot", () => {
  let layout = "";
  beforeAll(async () => void (layout = (await fixtures(["debian-slim"])).layout("debian-slim")), 10 * MINUTES);

  it("is inspected by skopeo, unpacked by umoci and run by containerd", { timeout: 5 * MINUTES }, async () => {
    const snapshot = snapshots("debian");
    const directory = join(work, "debian-checkout");
    const made = join(work, "made");
    await output(snapshot("prepare", "work", "--image", `oci:${layout}:latest`));
    await output(snapshot("mount", "work", directory));
    await appendFile(join(directory, "etc/motd"), "changed\n");
    await rm(join(directory, "usr/share/doc"), { recursive: true });
    await rename(join(directory, "etc/issue"), join(directory, "etc/renamed"));
    await writeFile(
      join(directory, "say"),
      "#!/bin/sh\ntail -n 1 /etc/motd; cat /etc/renamed; ls /usr/share/doc /etc/issue; true\n",
      {
        mode: 0o755,
      },
    );
    const issue = await readFile(join(directory, "etc/renamed"), "utf8");
    await output(snapshot("umount", "work", directory));
    const { digest, layer } = await json(
      snapshot("image", "work", `oci:${made}:mine`, "--json", "--cmd", "/say", "--env", "MINE=1"),
    );

    const inspected = JSON.parse((await runCommand("skopeo", ["inspect", `oci:${made}:mine`], { accept: [0] })).output);
    expect(inspected.Digest).toBe(digest);
    expect(inspected.Layers.at(-1)).toBe(layer.digest);
    expect(inspected.Env).toContain("MINE=1");
    const config = JSON.parse(
      (await runCommand("skopeo", ["inspect", "--config", `oci:${made}:mine`], { accept: [0] })).output,
    );
    expect(config.rootfs.diff_ids.at(-1)).toBe(layer.diffID);
    expect(config.created).toMatch(/^2023-11-14T22:13:20/);
    await runCommand("skopeo", ["copy", `oci:${made}:mine`, `docker-archive:${join(work, "mine.tar")}:mine:latest`], {
      accept: [0],
    });

    const unpacked = join(work, "unpacked");
    await runCommand("umoci", ["raw", "unpack", "--image", `${made}:mine`, unpacked], { accept: [0] });
    expect(await readFile(join(unpacked, "etc/renamed"), "utf8")).toBe(issue);

    const archive = join(work, "image.tar");
    await runCommand("tar", ["-C", made, "-cf", archive, "."], { accept: [0] });
    await withContainerd({ root: join(work, "containerd") }, async ({ ctr }) => {
      await ctr(["images", "import", "--snapshotter", "overlayfs", "--base-name", "oracle.invalid/image", archive]);
      const run = await ctr(["run", "--rm", "--snapshotter", "overlayfs", "oracle.invalid/image:mine", "say"]);
      // what it says to the one and to the other of its outputs comes in any order
      for (const said of ["changed\n", issue]) expect(run.output).toContain(said);
      for (const gone of ["/usr/share/doc", "/etc/issue"]) expect(run.output).toContain(`'${gone}': No such file`);
    });
  });
});
