import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import { missing, runCommand } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { ImageDocument } from "./daemon-process.js";
import { bootSystemd, systemdNeeds } from "./systemd-machine.js";
import type { SystemdMachine } from "./systemd-machine.js";

const PACKAGE = join(import.meta.dirname, "../../../apps/daemon");
const SOCKET = "/run/lamella/lamellad.sock";
/** Of an answer, for which a build may be waited for. */
const MAX_SECONDS = "90";
const RESTARTED_WITHIN_MS = 60_000;

const reason = missing([...systemdNeeds, "curl", "nbdinfo"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(`lamellad under systemd (${reason ?? "in a container"})`, () => {
  let machine: SystemdMachine;

  beforeAll(async () => {
    await fixtures(["debian-slim"]);
    machine = await bootSystemd({ "/mnt": PACKAGE });
  });
  afterAll(async () => {
    await machine?.[Symbol.asyncDispose]();
  });

  async function ask(path: string, ...parameters: string[]): Promise<string> {
    const socket = ["--unix-socket", machine.path(SOCKET)];
    const { output } = await runCommand(
      "curl",
      [
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--max-time",
        MAX_SECONDS,
        ...socket,
        ...parameters,
        `http://localhost${path}`,
      ],
      { accept: [0] },
    );
    return output;
  }

  const show = async (...properties: string[]): Promise<Record<string, string>> => {
    const lines = (await machine.run(`systemctl show lamellad.service --property=${properties.join()}`)).trim();
    return Object.fromEntries(lines.split("\n").map((line) => line.split("=", 2)));
  };

  it("is installed by what its README says, and answers the group of its socket", async () => {
    const readme = await readFile(join(PACKAGE, "README.md"), "utf8");
    const [, block = ""] = /^## Under systemd\n\n((?: {4}.*\n)+)/m.exec(readme) ?? [];
    await machine.run(`cd /mnt\n${block}`);
    expect(await ask("/readyz")).toBe("ready\n");
    const { mode, gid } = await stat(machine.path(SOCKET));
    expect(mode & 0o777).toBe(0o660);
    expect(`${gid}`).toBe((await machine.run("getent group lamella | cut -d: -f3")).trim());
    expect(await machine.run("ps -o user= -C node")).toMatch(/^(lamella\s*)+$/);
  });

  it("builds disks with the little that its unit lets it do", async () => {
    await using registry = await startFixtureRegistry();
    const name = `${registry.address}/debian-slim:latest`;
    for (const disk of [{ format: "ext4" }, { format: "erofs", options: { compression: "lz4" } }]) {
      const body = JSON.stringify({ name, ...disk });
      const posted = await ask("/images?wait=60", "--header", "Content-Type: application/json", "--data", body);
      const image = JSON.parse(posted) as ImageDocument;
      expect(image).toMatchObject({ status: "ready", error: null, disks: [{ format: disk.format }] });
      const [{ key } = { key: "" }] = image.disks;
      const { uri } = JSON.parse(await ask(`/disks/${key}/nbd`, "--request", "PUT")) as { uri: string };
      const socket = new URL(uri).searchParams.get("socket") ?? "";
      const attached = `nbd+unix:///${key}?socket=${machine.path(socket)}`;
      const { output } = await runCommand("nbdinfo", ["--size", attached], { accept: [0] });
      expect(Number(output)).toBe(image.disks[0]?.size_bytes);
      await ask(`/disks/${key}/nbd`, "--request", "DELETE");
    }
  });

  it("is started again when it hangs and when it is killed, and has what it had", async () => {
    await machine.run(`mkdir /etc/systemd/system/lamellad.service.d
      printf '[Service]\\nWatchdogSec=3\\nRestartSec=100ms\\n' > /etc/systemd/system/lamellad.service.d/soon.conf
      systemctl daemon-reload && systemctl restart lamellad.service`);
    for (const [restarts, signal] of ["STOP", "KILL"].entries()) {
      await machine.run(`systemctl kill --signal=${signal} --kill-who=main lamellad.service`);
      const soon = expect.poll(() => show("ActiveState", "NRestarts"), { timeout: RESTARTED_WITHIN_MS });
      await soon.toEqual({ ActiveState: "active", NRestarts: `${restarts + 1}` });
      expect(JSON.parse(await ask("/images"))).toMatchObject([{ status: "ready" }, { status: "ready" }]);
    }
  });

  it("stops in good order, and starts with the first who asks", async () => {
    await machine.run("systemctl stop lamellad.service");
    const stopped = { Result: "success", ExecMainStatus: "0", ActiveState: "inactive" };
    expect(await show(...Object.keys(stopped))).toEqual(stopped);
    expect(await ask("/readyz")).toBe("ready\n");
  });
});
