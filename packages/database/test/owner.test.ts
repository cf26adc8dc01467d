import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";

import { describe, expect, it } from "vitest";

import { isOwnerAlive, processOwner } from "../src/index.js";
import { ownerState } from "../src/owner.js";

/** As `processOwner` of a process with this pid. */
async function ownerOf(pid: number): Promise<string> {
  const [boot, namespaces] = (await processOwner()).split(":");
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return [boot, namespaces, pid, stat.replace(/^.*\) /s, "").split(" ")[19]].join(":");
}

describe("isOwnerAlive()", () => {
  it("knows this process by a text without spaces that stays the same", async () => {
    const owner = await processOwner();
    expect(owner).toMatch(/^[!-~]+$/);
    expect(await processOwner()).toBe(owner);
    expect(owner).toBe(await ownerOf(process.pid));
    expect(await isOwnerAlive(owner)).toBe(true);
  });

  it("follows another process until it is killed", async () => {
    const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60_000)"]);
    await once(child, "spawn");
    const owner = await ownerOf(child.pid ?? 0);
    expect(await isOwnerAlive(owner)).toBe(true);
    child.kill("SIGKILL");
    await once(child, "close");
    expect(await isOwnerAlive(owner)).toBe(false);
  });

  it("counts a process as gone that has ended but that its parent has not asked after", async () => {
    // sh becomes sleep, which never asks after the child of sh
    const parent = spawn("sh", ["-c", "sleep 0.01 & echo $!; exec sleep 60"]);
    try {
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const zombie = Number(line.toString());
      await expect.poll(() => readFile(`/proc/${zombie}/stat`, "utf8")).toContain(") Z ");
      expect(await isOwnerAlive(await ownerOf(zombie))).toBe(false);
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("cannot tell of another pid namespace, and so counts its processes as running", async () => {
    const [boot, , pid, start] = (await processOwner()).split(":");
    const foreign = [boot, "1.1", pid, start].join(":");
    expect(ownerState(foreign)).toBe("unknown");
    expect(await isOwnerAlive(foreign)).toBe(true);
  });

  it.each(["", ":", ":::", "a:b:c:d", "no owner", "::0:", "::-1:", "::99999999999:"])(
    "takes %j for nobody",
    async (owner) => {
      expect(await isOwnerAlive(owner)).toBe(false);
    },
  );
});
