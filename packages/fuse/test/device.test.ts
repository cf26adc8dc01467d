import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as wasi from "node:wasi";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createDevice, type Device, type DeviceParts } from "../src/server/device.js";

const { WebAssembly } = globalThis as unknown as Pick<DeviceParts, "WebAssembly">;
const O_NONBLOCK = 0o4000;
/** As WASI numbers it. */
const ENODEV = 43;

/** A pipe in place of the device: it gives what was written to it, and does not end. */
describe("createDevice()", () => {
  let directory = "";
  let fd = -1;
  let clock = 0;
  /** What happens while a read waits: how many milliseconds pass, and then a request comes. */
  let wake = { afterMs: 0, request: "" };
  /** Whether each read waited, or the request was found without. */
  let ways: string[] = [];

  const isWaiting = (): boolean => {
    const [, flags = ""] = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1")) ?? [];
    return (Number.parseInt(flags, 8) & O_NONBLOCK) === 0;
  };

  const parts: DeviceParts = {
    fs: {
      readSync: ((...args: Parameters<typeof readSync>) => {
        // A pipe that is empty would have it wait for ever.
        writeSync(fd, wake.request);
        clock += wake.afterMs;
        ways.push(isWaiting() ? "waited" : "did not wait");
        return readSync(...args);
      }) as typeof readSync,
      writeSync,
    },
    wasi,
    WebAssembly,
    // Each look takes some time.
    now: () => (clock += 0.001),
  };

  function readAfter(device: Device, afterMs: number, request = "late"): string {
    wake = { afterMs, request };
    return device.request.toString("latin1", 0, device.read());
  }

  /** Requests that come as if somebody had to be woken for each. */
  function readLate(device: Device, count: number): void {
    for (let request = 0; request < count; request++) readAfter(device, 0.09);
  }

  function findNow(device: Device, request: string): string {
    writeSync(fd, request);
    const text = device.request.toString("latin1", 0, device.read());
    ways.push("found");
    return text;
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lamella-fuse-"));
    execFileSync("mkfifo", [join(directory, "device")]);
    fd = openSync(join(directory, "device"), "r+");
    ways = [];
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  it("looks for the next request where being woken takes longer than an answer", () => {
    const device = createDevice(fd, parts);
    readLate(device, 4);
    expect(findNow(device, "second")).toBe("second");
    expect(findNow(device, "third")).toBe("third");
    expect(ways).toEqual(["waited", "waited", "waited", "waited", "found", "found"]);
    expect(isWaiting()).toBe(false);
  });

  it("waits for one request in 64, and looks on only if that comes late too", () => {
    const device = createDevice(fd, parts);
    readLate(device, 4);
    for (let request = 0; request < 64; request++) findNow(device, "found");
    readAfter(device, 0.09);
    expect(isWaiting()).toBe(true);
    for (let request = 0; request < 64; request++) findNow(device, "found");
    expect(isWaiting()).toBe(false);
    readAfter(device, 0.01);
    readAfter(device, 0.01);
    expect(ways.filter((way) => way === "waited")).toHaveLength(7);
  });

  it.each([
    ["at once, as nobody had to be woken", 0.01],
    ["late, as nobody is in a hurry", 1],
  ])("waits where requests come %s", (_, afterMs) => {
    const device = createDevice(fd, parts);
    for (let request = 0; request < 10; request++) readAfter(device, afterMs);
    expect(ways).toEqual(Array.from({ length: 10 }, () => "waited"));
  });

  it("waits after it has looked in vain, without a limit", () => {
    const device = createDevice(fd, parts);
    readLate(device, 4);
    const looked = clock;
    expect(readAfter(device, 60_000, "much later")).toBe("much later");
    expect(ways).toEqual(Array.from({ length: 5 }, () => "waited"));
    expect(clock - looked - 60_000).toBeLessThan(0.1);
    expect(isWaiting()).toBe(true);
  });

  it("looks ever more seldom where it is always in vain", () => {
    const device = createDevice(fd, parts);
    let looks = 0;
    for (let request = 0; request < 1000; request++) {
      const before = clock;
      readAfter(device, 0.09);
      if (clock - before > 0.09 + 0.05) looks += 1;
    }
    expect(ways).toHaveLength(1000);
    expect(looks).toBeGreaterThan(5);
    expect(looks).toBeLessThan(30);
  });

  it("leaves an error to a read that waits", () => {
    let looks = 0;
    class Unmounted {
      readonly wasiImport = { fd_fdstat_set_flags: () => 0, fd_read: () => (looks += 1) && ENODEV };
      initialize(): void {}
    }
    const device = createDevice(fd, { ...parts, wasi: { WASI: Unmounted as unknown as typeof wasi.WASI } });
    readLate(device, 4);
    expect(readAfter(device, 0.09, "what it says then")).toBe("what it says then");
    expect(looks).toBe(1);
  });
});
