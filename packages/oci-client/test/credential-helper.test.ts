import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  type CredentialHelperOptions,
  eraseFromHelper,
  getFromHelper,
  storeInHelper,
} from "../src/credential-helper.js";
import { installHelper, pathTo } from "./helper-program.js";
import { failure } from "./registry-server.js";

let directory: string;
let options: CredentialHelperOptions;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lamella-helper-"));
  options = { env: pathTo(directory) };
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable(),
    (error: unknown) => error,
  );
}

describe("a credential helper", () => {
  it("keeps a credential, gives it back and forgets it", async () => {
    await installHelper(directory, "safe");
    const password = { kind: "basic", username: "änn", password: 'a"b\n' } as const;
    const token = { kind: "identity", token: "refresh" } as const;
    await storeInHelper("safe", "a.test", { credential: password, ...options });
    await storeInHelper("safe", "b.test:5000", { credential: token, ...options });
    expect(await getFromHelper("safe", "a.test", options)).toEqual(password);
    expect(await getFromHelper("safe", "b.test:5000", options)).toEqual(token);
    await eraseFromHelper("safe", "a.test", options);
    await eraseFromHelper("safe", "a.test", options);
    expect(await getFromHelper("safe", "a.test", options)).toBeUndefined();
  });

  it("cannot keep a registry's token", async () => {
    const credential = { kind: "bearer", token: "t" } as const;
    await expect(storeInHelper("safe", "a.test", { credential, ...options })).rejects.toThrow(
      failure("credentials_invalid"),
    );
  });

  it("that is not installed is named", async () => {
    await expect(getFromHelper("missing", "a.test", options)).rejects.toThrow(
      failure("helper_failed", '"docker-credential-missing" get: there is no such program on PATH'),
    );
  });

  it.each(["../evil", "a/b", "", "-x", "a b"])("of the name %j is never run", async (name) => {
    await expect(getFromHelper(name, "a.test", options)).rejects.toThrow(
      failure("helper_failed", "not a helper's name"),
    );
  });

  it("that holds an empty secret holds none", async () => {
    await installHelper(directory, "empty", 'console.log(JSON.stringify({ Username: "", Secret: "" }))');
    expect(await getFromHelper("empty", "a.test", options)).toBeUndefined();
  });

  it.each([
    ["no JSON", 'console.log("hunter22 is the password")', "not JSON"],
    ["no object", 'console.log("null")', "not JSON"],
    ["no text", 'console.log(JSON.stringify({ Username: "a", Secret: { hunter22: 1 } }))', "holds no secret"],
  ])("that answers %s is refused without showing the answer", async (_, body, state) => {
    await installHelper(directory, "odd", body);
    const error = await errorOf(getFromHelper("odd", "a.test", options));
    expect(error).toEqual(failure("helper_failed", state));
    expect(inspect(error, { depth: 10 })).not.toContain("hunter22");
  });

  it("that fails is quoted, escaped and without the secret it was given", async () => {
    const body =
      'console.log("\\u001b[2Jcannot keep " + JSON.parse(require("node:fs").readFileSync(0)).Secret); process.exitCode = 1';
    await installHelper(directory, "locked", body);
    const credential = { kind: "basic", username: "ann", password: "hunter22" } as const;
    await expect(storeInHelper("locked", "a.test", { credential, ...options })).rejects.toThrow(
      failure("helper_failed", String.raw`it fails ("\u001b[2Jcannot keep [redacted]")`),
    );
    await installHelper(directory, "silent", "process.exitCode = 3");
    await expect(eraseFromHelper("silent", "a.test", options)).rejects.toThrow(failure("helper_failed", "it fails"));
  });

  it("that answers without end is stopped", async () => {
    await installHelper(directory, "flood", 'for (;;) require("node:fs").writeSync(1, "x".repeat(4096))');
    await expect(getFromHelper("flood", "a.test", options)).rejects.toThrow(
      failure("helper_failed", "limit of 65536 bytes"),
    );
  });

  it("that does not end is stopped in time, with what it started holding its output", async () => {
    const body = `require("node:child_process").spawn(process.execPath, ["-e", "setTimeout(() => {}, 3000)"], { stdio: "inherit" })`;
    await installHelper(directory, "slow", body);
    const started = performance.now();
    await expect(getFromHelper("slow", "a.test", { ...options, timeoutMs: 200 })).rejects.toThrow(
      failure("helper_failed", "over 200 ms"),
    );
    expect(performance.now() - started).toBeLessThan(2500);
  });

  it("is not run for a caller that has aborted, and stopped for one that aborts", async () => {
    await installHelper(directory, "slow", "setTimeout(() => {}, 5000)");
    const signal = AbortSignal.abort("enough");
    await expect(getFromHelper("slow", "a.test", { ...options, signal })).rejects.toBe("enough");
    const controller = new AbortController();
    setTimeout(() => controller.abort("later"), 50);
    const running = getFromHelper("slow", "a.test", { ...options, signal: controller.signal });
    await expect(running).rejects.toBe("later");
  });

  it("need not read what it is given", async () => {
    await installHelper(
      directory,
      "deaf",
      'require("node:fs").closeSync(0); console.log(JSON.stringify({ Username: "a", Secret: "b" }))',
    );
    const server = `${"a".repeat(200_000)}.test`;
    expect(await getFromHelper("deaf", server, options)).toEqual({ kind: "basic", username: "a", password: "b" });
  });
});
