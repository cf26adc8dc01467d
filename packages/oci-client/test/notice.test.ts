import { describe, expect, it } from "vitest";

import { isConfinedAddress, isLoopbackAddress } from "../src/address.js";
import { type Notice, readNotices, withoutRepetition } from "../src/notice.js";

const HOST = "registry.example";

describe("readNotices()", () => {
  it.each<[Record<string, string>, Omit<Extract<Notice, { kind: "rate_limit" }>, "kind" | "host"> | undefined]>([
    [
      { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600" },
      { limit: 100, remaining: 76, windowSeconds: 21_600 },
    ],
    [{ "ratelimit-remaining": "0" }, { remaining: 0 }],
    [
      { "ratelimit-limit": "5", "ratelimit-remaining": "4;w=60" },
      { limit: 5, remaining: 4, windowSeconds: 60 },
    ],
    [{ "ratelimit-limit": "many" }, undefined],
    [{ "ratelimit-limit": "-1" }, undefined],
    [{}, undefined],
  ])("reads the allowance of %j", (headers, expected) => {
    const notices = expected === undefined ? [] : [{ kind: "rate_limit", host: HOST, ...expected }];
    expect(readNotices(HOST, new Headers(headers))).toEqual(notices);
  });

  it.each([
    ['299 - "the tag is old"', ["the tag is old"]],
    ['299 - "a \\"b\\" c", 299 - "second"', ['a "b" c', "second"]],
    ['299 registry.example "seen https://u:p@x.example/?token=1"', ["seen https://x.example/?[redacted]"]],
    ['199 - "not for us"', []],
    ["299 - no quotes", []],
    [`299 - "${"x".repeat(10_000)}"`, []],
  ])("reads the warnings of %j", (value, texts) => {
    const notices = readNotices(HOST, new Headers({ warning: value }));
    expect(notices).toEqual(texts.map((text) => ({ kind: "warning", host: HOST, text })));
  });
});

describe("withoutRepetition()", () => {
  it("passes a warning of a host on once, and everything else always", () => {
    const seen: Notice[] = [];
    const tell = withoutRepetition((notice) => void seen.push(notice));
    const warning: Notice = { kind: "warning", host: "a", text: "x" };
    const throttled: Notice = { kind: "throttled", host: "a", waitMs: 1 };
    for (const notice of [warning, warning, throttled, throttled, { ...warning, host: "b" }]) tell(notice);
    expect(seen).toEqual([warning, throttled, throttled, { ...warning, host: "b" }]);
  });

  it("keeps a bounded memory of a host that says ever new things", () => {
    let count = 0;
    const tell = withoutRepetition(() => count++);
    for (let index = 0; index < 1000; index++) tell({ kind: "warning", host: "a", text: String(index) });
    expect(count).toBe(100);
  });
});

describe("addresses", () => {
  const hostOf = (host: string): string => new URL(`http://${host}/`).hostname;

  it.each(["localhost", "127.0.0.1", "127.9.9.9", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])(
    "%s is this machine",
    (host) => {
      expect([isLoopbackAddress(hostOf(host)), isConfinedAddress(hostOf(host))]).toEqual([true, false]);
    },
  );

  it.each([
    "169.254.169.254",
    "2852039166",
    "0.0.0.0",
    "0.1.2.3",
    "[::]",
    "[fe80::1]",
    "[febf::]",
    "[::ffff:a9fe:1]",
    "[::ffff:0:1]",
  ])("%s is confined", (host) => {
    expect([isLoopbackAddress(hostOf(host)), isConfinedAddress(hostOf(host))]).toEqual([false, true]);
  });

  it.each([
    "example.com",
    "127.example",
    "10.0.0.1",
    "169.253.0.1",
    "[2001:db8::1]",
    "[fec0::1]",
    "[::2]",
    "[1::]",
    "[::ffff:8.8.8.8]",
  ])("%s is any other", (host) => {
    expect([isLoopbackAddress(hostOf(host)), isConfinedAddress(hostOf(host))]).toEqual([false, false]);
  });
});
