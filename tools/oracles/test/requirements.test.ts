import { describe, expect, it } from "vitest";
import { runCommand } from "../src/command.js";
import { have, missing, requireTool } from "../src/requirements.js";

describe("requirements", () => {
  it("missing() is undefined when everything is there", () => {
    expect(missing(["sh", "ls"])).toBeUndefined();
    expect(have("sh")).toBe(true);
  });

  it("missing() names what is not there, and the Debian package that brings it", () => {
    const path = process.env["PATH"];
    process.env["PATH"] = "/nowhere";
    try {
      expect(missing(["no-such-tool", "umoci", "bsdtar"])).toBe(
        "needs no-such-tool, umoci, bsdtar (Debian package libarchive-tools)",
      );
      expect(() => requireTool("bsdtar")).toThrow(expect.objectContaining({ code: "tool_missing" }));
    } finally {
      process.env["PATH"] = path;
    }
  });
});

describe("runCommand()", () => {
  it("gives the exit code and what was said on both streams", async () => {
    expect(await runCommand("sh", ["-c", "echo out; echo err >&2; exit 3"])).toEqual({
      exitCode: 3,
      output: "out\nerr\n",
    });
  });

  it("throws on an exit code that is no verdict", async () => {
    await expect(runCommand("sh", ["-c", "exit 3"], { accept: [0, 1] })).rejects.toMatchObject({ code: "tool_failed" });
  });

  it("ends the command before it rejects with the signal's reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const started = performance.now();
    const running = runCommand("sleep", ["20"], { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(running).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
