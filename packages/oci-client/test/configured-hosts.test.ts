import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { configuredHosts } from "../src/index.js";
import { writeHost } from "./hosts-files.js";

const NO_ENVIRONMENT = {};

describe("configuredHosts()", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "configured-hosts-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("takes TLS for granted but on this machine, and where it is told otherwise", async () => {
    const { plainHttp, mirrors, tls } = await configuredHosts({ plainHttp: ["old.example"], env: NO_ENVIRONMENT });
    const asked = ["ghcr.io", "old.example", "localhost:5000", "127.0.0.1:5000"];
    expect(asked.map(plainHttp)).toEqual([false, true, true, true]);
    expect(mirrors("ghcr.io")).toEqual([]);
    expect(tls("ghcr.io")).toBeUndefined();
  });

  it("believes the directory before all else", async () => {
    writeHost(directory, "localhost:5000", 'server = "https://localhost:5000"\n');
    writeHost(directory, "plain.example", 'server = "http://plain.example"\n');
    const { plainHttp } = await configuredHosts({ directory, plainHttp: ["localhost:5000"], env: NO_ENVIRONMENT });
    expect(["localhost:5000", "plain.example", "ghcr.io"].map(plainHttp)).toEqual([false, true, false]);
  });

  it("trusts the bundle of the environment for the hosts to which the directory gives no certificates", async () => {
    writeHost(directory, "a.example", '[host."https://a.example"]\n  ca = "ca.crt"\n', { "ca.crt": "OF A" });
    const bundle = join(directory, "bundle.crt");
    writeFileSync(bundle, "OF ALL");
    const { tls } = await configuredHosts({ directory, plainHttp: [], env: { SSL_CERT_FILE: bundle } });
    expect([tls("a.example"), tls("b.example")]).toEqual([{ ca: ["OF A"] }, { ca: "OF ALL" }]);
  });
});
