import { describe, expect, it } from "vitest";

import { createIdempotentAnswers } from "../src/api/idempotency.js";

/** Work that counts how often it is done. */
function counter(): { work: () => Promise<string>; count: () => number } {
  let count = 0;
  return { work: async () => `answer ${++count}`, count: () => count };
}

describe("createIdempotentAnswers()", () => {
  it("does work once under a key, and lets who comes meanwhile wait for it", async () => {
    const answers = createIdempotentAnswers();
    let end: (answer: string) => void = () => {};
    const first = answers.once("k", "r", () => new Promise((resolve) => (end = resolve)));
    const { work, count } = counter();
    const second = answers.once("k", "r", work);
    end("first");
    expect(await Promise.all([first, second, answers.once("k", "r", work)])).toEqual(["first", "first", "first"]);
    expect(count()).toBe(0);
  });

  it("refuses another request under a key as long as it is known, also while the first is worked at", async () => {
    const answers = createIdempotentAnswers();
    const { work } = counter();
    const first = answers.once("k", "r", work);
    await expect(answers.once("k", "other", work)).rejects.toMatchObject({ code: "key_reused" });
    await first;
    await expect(answers.once("k", "other", work)).rejects.toMatchObject({ code: "key_reused" });
  });

  it("does again what has failed, whoever waited for it fails too", async () => {
    const answers = createIdempotentAnswers();
    const fail = () => Promise.reject(new Error("no"));
    const both = [answers.once("k", "r", fail), answers.once("k", "r", fail)];
    for (const each of await Promise.allSettled(both)) expect(each.status).toBe("rejected");
    expect(await answers.once("k", "another", async () => "done")).toBe("done");
  });

  it("forgets an answer after a day", async () => {
    let time = 0;
    const answers = createIdempotentAnswers({ now: () => time });
    const { work } = counter();
    await answers.once("k", "r", work);
    time += 86_400_000 - 1;
    expect(await answers.once("k", "r", work)).toBe("answer 1");
    time += 1;
    expect(await answers.once("k", "other", work)).toBe("answer 2");
  });

  it.each([{ maxAnswers: 3 }, { maxBytes: 3 * "k0ranswer 1".length }])(
    "keeps no more than it may, and lets the oldest go: %j",
    async (limits) => {
      const answers = createIdempotentAnswers(limits);
      const { work, count } = counter();
      const keys = ["k0", "k1", "k2", "k3"];
      for (const key of keys) await answers.once(key, "r", work);
      for (const key of keys.slice(1)) await answers.once(key, "r", work);
      expect(count()).toBe(4);
      await answers.once("k0", "r", work);
      expect(count()).toBe(5);
    },
  );

  it("forgets no key that is worked at", async () => {
    const answers = createIdempotentAnswers({ maxAnswers: 1 });
    let end: (answer: string) => void = () => {};
    const first = answers.once("k", "r", () => new Promise((resolve) => (end = resolve)));
    const { work, count } = counter();
    await answers.once("a", "r", work);
    await answers.once("b", "r", work);
    const second = answers.once("k", "r", work);
    end("first");
    expect([await first, await second, count()]).toEqual(["first", "first", 2]);
  });
});
