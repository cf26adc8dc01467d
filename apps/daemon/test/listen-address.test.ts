import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { defaultListen } from "../src/default-listen.js";
import { isLoopbackHost, parseListenAddress } from "../src/listen-address.js";

describe("parseListenAddress()", () => {
  it.each([
    ["unix:/run/a.sock", { kind: "unix", path: "/run/a.sock" }],
    ["/run/a.sock", { kind: "unix", path: "/run/a.sock" }],
    ["127.0.0.1:5080", { kind: "tcp", host: "127.0.0.1", port: 5080 }],
    ["127.1.2.3:0", { kind: "tcp", host: "127.1.2.3", port: 0 }],
    ["localhost:5080", { kind: "tcp", host: "127.0.0.1", port: 5080 }],
    ["[::1]:5080", { kind: "tcp", host: "::1", port: 5080 }],
  ])("reads %s", (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
  });

  it.each([
    "0.0.0.0:5080",
    "[::]:5080",
    "192.168.1.1:5080",
    "example.com:80",
    "localhost.example.com:80",
    "127.0.0.1.nip.io:80",
  ])("refuses %s, which other machines reach", (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: "listen_exposed" }));
  });

  it.each([
    "",
    "5080",
    ":5080",
    "127.0.0.1",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "unix:",
    "unix:a.sock",
    "::1:5080",
    `/${"a".repeat(107)}`,
  ])("refuses %s, which is no address", (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: "listen_invalid" }));
  });

  it("never gives a TCP address beyond this machine", () => {
    const host = fc.oneof(
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.domain(),
      fc.string(),
    );
    fc.assert(
      fc.property(host, fc.nat(70_000), (name, port) => {
        try {
          const address = parseListenAddress(`${name}:${port}`);
          if (address.kind === "tcp") expect(address.host).toMatch(/^(127\.[\d.]+|::1)$/);
        } catch (error) {
          expect(error).toMatchObject({ name: "DaemonError" });
        }
      }),
    );
  });
});

describe("isLoopbackHost()", () => {
  it("knows this machine from names that only look like it", () => {
    expect(["localhost", "127.0.0.1", "127.255.0.1", "[::1]"].map(isLoopbackHost)).toEqual([true, true, true, true]);
    expect(["127.example.com", "localhost.example.com", "[::2]", "10.0.0.1", ""].some(isLoopbackHost)).toBe(false);
  });
});

describe("defaultListen()", () => {
  it("puts the socket into the XDG runtime directory", () => {
    expect(defaultListen({ XDG_RUNTIME_DIR: "/run/user/1" })).toBe("unix:/run/user/1/lamella/lamellad.sock");
  });

  it("says which variable is missing", () => {
    expect(() => defaultListen({})).toThrow(/XDG_RUNTIME_DIR is not set; give --listen/);
  });
});
