import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readHostsDirectory } from "../src/index.js";
import { writeHost } from "./hosts-files.js";

describe("readHostsDirectory()", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "hosts-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("gives each host its mirrors, and the default's to the others", async () => {
    writeHost(directory, "docker.io", '[host."https://mirror.example"]\n  capabilities = ["pull"]\n');
    writeHost(directory, "_default", '[host."http://127.0.0.1:5000"]\n');
    const { mirrors } = await readHostsDirectory(directory);
    expect(mirrors("docker.io")).toEqual([{ url: "https://mirror.example", capabilities: ["pull"] }]);
    expect(mirrors("ghcr.io")).toEqual([{ url: "http://127.0.0.1:5000", capabilities: ["pull", "resolve"] }]);
  });

  it("reads the certificates that a file names, beside it", async () => {
    const text = '[host."https://a.example"]\n  ca = "ca.crt"\n  client = [["c.crt", "c.key"]]\n';
    writeHost(directory, "a.example", text, { "ca.crt": "CA", "c.crt": "CERT", "c.key": "KEY" });
    const { mirrors, tls } = await readHostsDirectory(directory);
    expect(tls("a.example")).toEqual({ ca: ["CA"], cert: "CERT", key: "KEY" });
    expect(tls("b.example")).toBeUndefined();
    // its own table is for its certificates: it is no mirror of itself
    expect(mirrors("a.example")).toEqual([]);
  });

  it("tells how a host wants to be reached, by its server or its own table", async () => {
    writeHost(directory, "127.0.0.1:5000", 'server = "https://127.0.0.1:5000"\n');
    writeHost(directory, "a.example", '[host."http://a.example"]\n');
    writeHost(directory, "b.example", '[host."http://mirror.example"]\n');
    const { isPlainHttp } = await readHostsDirectory(directory);
    expect(["127.0.0.1:5000", "a.example", "b.example", "c.example"].map(isPlainHttp)).toEqual([
      false,
      true,
      undefined,
      undefined,
    ]);
  });

  it("has no hosts where there is no directory", async () => {
    const { mirrors, tls } = await readHostsDirectory(join(directory, "none"));
    expect(mirrors("docker.io")).toEqual([]);
    expect(tls("docker.io")).toBeUndefined();
  });

  it("names the file that it cannot read", async () => {
    writeHost(directory, "a.example", '[host."https://a.example"]\n  skip_verify = true\n');
    await expect(readHostsDirectory(directory)).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining(join(directory, "a.example", "hosts.toml")),
    });
    rmSync(join(directory, "a.example"), { recursive: true });
    writeHost(directory, "b.example", '[host."https://b.example"]\n  ca = "gone.crt"\n');
    await expect(readHostsDirectory(directory)).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("gone.crt"),
    });
  });

  it("stops when it is told to", async () => {
    writeHost(directory, "docker.io", "");
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(readHostsDirectory(directory, { signal })).rejects.toThrow("enough");
  });
});
