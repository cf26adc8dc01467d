import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { keepToken, readToken } from "../src/access-token.js";
import { ANY_PORT, ask, runDaemon, temporaryDirectory } from "./fixture.js";

const TOKEN = "correct-horse-battery-staple";

const basic = (password: string): string => `Basic ${Buffer.from(`anybody:${password}`).toString("base64")}`;

describe("keepToken()", () => {
  it("makes a token that nobody else can read, once", async () => {
    await using directory = await temporaryDirectory();
    const root = join(directory.path, "store");
    const kept = await Promise.all(Array.from({ length: 8 }, () => keepToken(root)));
    expect(new Set(kept.map(({ token }) => token)).size).toBe(1);
    const { token, file } = await keepToken(root);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(token).toBe(kept[0]?.token);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(root)).toEqual(["lamellad.token"]);
  });

  it("does not take an empty file for a token", async () => {
    await using directory = await temporaryDirectory();
    await writeFile(join(directory.path, "lamellad.token"), "\n");
    await expect(keepToken(directory.path)).rejects.toMatchObject({ code: "token_invalid" });
  });
});

describe("readToken()", () => {
  it("takes the first line of a file before a variable", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "token");
    await writeFile(file, `${TOKEN} \nanother\n`);
    expect(await readToken(file, "of-the-environment")).toBe(TOKEN);
    expect(await readToken(undefined, "of-the-environment")).toBe("of-the-environment");
    expect(await readToken(undefined, undefined)).toBeUndefined();
  });

  it.each(["", "short", "with a blank in between", "a".repeat(2000), 'quotes"quotes"quotes'])(
    "refuses %j without showing it",
    async (text) => {
      const reading = readToken(undefined, text);
      await expect(reading).rejects.toMatchObject({ code: "token_invalid" });
      if (text !== "") await expect(reading).rejects.not.toThrow(text);
    },
  );

  it("says that a file is not there", async () => {
    await expect(readToken("/nonexistent/token", undefined)).rejects.toThrow(/^cannot read the token: .*ENOENT/);
  });
});

describe("lamellad with a token", () => {
  it("lets nobody read or write by TCP who does not show it", async () => {
    await using running = await runDaemon(ANY_PORT, { token: TOKEN, noToken: false });
    const { url } = running.daemon;
    const wrong = [
      undefined,
      "Bearer wrong-horse-battery-staple",
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
      "Bearer",
    ];
    for (const authorization of [...wrong, basic(TOKEN), `Token ${TOKEN}`]) {
      for (const path of ["/metrics", "/images", "/openapi.json", "/nowhere", "/healthz/x", "/assets", "//healthz"]) {
        const headers = authorization === undefined ? {} : { Authorization: authorization };
        const response = await fetch(url + path, { headers });
        expect([path, authorization, response.status]).toEqual([path, authorization, 401]);
        expect(response.headers.get("WWW-Authenticate")).toBe('Bearer realm="lamellad"');
        expect(response.headers.get("Content-Type")).toBe("application/problem+json");
        expect(await response.json()).toMatchObject({ status: 401, code: "unauthorized" });
      }
    }
    for (const method of ["POST", "PUT", "DELETE"]) {
      for (const path of ["/", "/healthz", "/assets/x"]) {
        expect((await fetch(url + path, { method })).status).toBe(401);
      }
    }
  });

  it("answers probes, and who asks for the page, without it", async () => {
    await using running = await runDaemon(ANY_PORT, { token: TOKEN, noToken: false });
    const statuses: Record<string, number> = {};
    for (const path of ["/healthz", "/readyz", "/", "/assets/none"]) {
      statuses[path] = (await fetch(running.daemon.url + path)).status;
    }
    expect(statuses).toMatchObject({ "/healthz": 200, "/readyz": 200, "/assets/none": 404 });
    expect(statuses["/"]).not.toBe(401);
  });

  it("lets in who shows it", async () => {
    await using running = await runDaemon(ANY_PORT, { token: TOKEN, noToken: false });
    for (const authorization of [`Bearer ${TOKEN}`, `bearer  ${TOKEN}`]) {
      const headers = { Authorization: authorization };
      expect((await fetch(`${running.daemon.url}/metrics`, { headers })).status).toBe(200);
      expect((await fetch(`${running.daemon.url}/v2/`, { headers })).status).toBe(200);
      expect((await fetch(`${running.daemon.url}/v2/a/blobs/uploads/`, { method: "POST", headers })).status).toBe(202);
    }
  });

  it("is a registry to log in to with any name, by Basic and by tokens", async () => {
    await using running = await runDaemon(ANY_PORT, { token: TOKEN, noToken: false });
    const { url } = running.daemon;
    const refused = await fetch(`${url}/v2/`);
    expect(refused.status).toBe(401);
    const challenge = refused.headers.get("WWW-Authenticate") ?? "";
    expect(challenge).toBe(`Bearer realm="${url}/token",service="lamellad"`);
    expect((await fetch(`${url}/v2/`, { headers: { Authorization: basic("x".repeat(20)) } })).status).toBe(401);
    expect((await fetch(`${url}/v2/`, { headers: { Authorization: basic(TOKEN) } })).status).toBe(200);

    const realm = `${url}/token?service=lamellad&scope=repository:a:pull,push`;
    expect((await fetch(realm)).status).toBe(401);
    expect((await fetch(realm, { headers: { Authorization: basic("wrong") } })).status).toBe(401);
    const given = await fetch(realm, { headers: { Authorization: basic(TOKEN) } });
    const { token } = (await given.json()) as { token: string };
    const post = async (repository: string, authorization: string): Promise<number> => {
      const headers = { Authorization: authorization };
      return (await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: "POST", headers })).status;
    };
    expect(await post("a", `Bearer ${token}`)).toBe(202);
    expect(await post("b", `Bearer ${token}`)).toBe(401);
    expect(await post("a", `Bearer ${token.slice(0, -4)}AAAA`)).toBe(401);
    // it is for the registry and for nothing else
    expect((await fetch(`${url}/metrics`, { headers: { Authorization: `Bearer ${token}` } })).status).toBe(401);
  });

  it("asks for it on a unix socket too, unless it has made the token itself", async () => {
    await using directory = await temporaryDirectory();
    const socketPath = join(directory.path, "a.sock");
    const unix = { kind: "unix", path: socketPath } as const;
    {
      await using running = await runDaemon(unix, { token: TOKEN, noToken: false });
      expect((await ask({ socketPath, path: "/metrics" })).status).toBe(401);
      expect((await ask({ socketPath, path: "/v2/" })).status).toBe(401);
      expect(running.daemon.tokenFile).toBeUndefined();
    }
    await using running = await runDaemon(unix, { listen: [unix, ANY_PORT], noToken: false });
    const [, tcp = ""] = running.daemon.urls;
    expect((await ask({ socketPath, path: "/metrics" })).status).toBe(200);
    expect((await ask({ socketPath, path: "/v2/" })).status).toBe(200);
    expect((await fetch(`${tcp}/metrics`)).status).toBe(401);
    expect((await fetch(`${tcp}/v2/`)).status).toBe(401);
    expect(running.daemon.tokenFile).toBe(join(running.root, "lamellad.token"));
    const token = await readToken(running.daemon.tokenFile, undefined);
    expect((await fetch(`${tcp}/metrics`, { headers: { Authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it("makes none where only a unix socket is listened on", async () => {
    await using directory = await temporaryDirectory();
    await using running = await runDaemon({ kind: "unix", path: join(directory.path, "a.sock") }, { noToken: false });
    expect(await readdir(running.root)).not.toContain("lamellad.token");
  });

  it("answers by any name of the machine, for who knows the token means it", async () => {
    await using running = await runDaemon(ANY_PORT, { token: TOKEN, noToken: false });
    const { hostname, port } = new URL(running.daemon.url);
    const headers = { Host: "builder.example.com", Authorization: `Bearer ${TOKEN}` };
    expect((await ask({ hostname, port, path: "/v2/", headers })).status).toBe(200);
  });
});

describe("lamellad without a token", () => {
  it("does what no page of another origin asks for", async () => {
    await using running = await runDaemon();
    const post = async (Origin: string): Promise<number> =>
      (await fetch(`${running.daemon.url}/v2/a/blobs/uploads/`, { method: "POST", headers: { Origin } })).status;
    expect(await post("https://example.com")).toBe(403);
    expect(await post("null")).toBe(403);
    expect(await post(running.daemon.url)).toBe(202);
  });

  it("does not listen where other machines are, whoever has bound the socket", async () => {
    await using directory = await temporaryDirectory();
    await mkdir(directory.path, { recursive: true });
    const exposed = runDaemon({ kind: "tcp", host: "0.0.0.0", port: 0 });
    await expect(exposed).rejects.toMatchObject({ code: "listen_exposed" });
  });
});
