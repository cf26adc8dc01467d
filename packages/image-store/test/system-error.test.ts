import { describe, expect, it } from "vitest";

import { ImageStoreError } from "../src/errors.js";
import { explained, explainedEach, systemFailure } from "../src/system-error.js";

const errno = (code: string): Error => Object.assign(new Error(`${code}: of the system`), { code });
const failing = (error: unknown) => async (): Promise<never> => {
  throw error;
};

describe("what the system refuses", () => {
  it.each([
    ["ENOSPC", "no_space", /no room or no inodes left; remove images/],
    ["EDQUOT", "no_space", /quota is used up/],
    ["EMFILE", "too_many_files", /raise the limit \(ulimit -n\)/],
    ["ENFILE", "too_many_files", /raise the limit/],
    ["EIO", "io_failed", /the device failed/],
  ])("with %s is %s, however deep it is among causes", async (code, expected, message) => {
    for (const error of [errno(code), new Error("reading", { cause: new Error("page", { cause: errno(code) }) })]) {
      const rejected = {
        name: "ImageStoreError",
        code: expected,
        message: expect.stringMatching(message),
        cause: error,
      };
      await expect(explained("pull a", failing(error))).rejects.toMatchObject(rejected);
    }
  });

  it("comes through as it is otherwise, and so does an error of the store", async () => {
    const others = [errno("ENOENT"), new Error("none"), "text", undefined, errno("constructor")];
    const own = new ImageStoreError("not_found", "cannot find a", { cause: errno("EIO") });
    for (const error of [...others, own]) await expect(explained("pull a", failing(error))).rejects.toBe(error);
    expect(others.map(systemFailure)).toEqual(others.map(() => undefined));
  });

  it("is told of what comes one by one, which is closed when nobody wants more", async () => {
    let closed = 0;
    async function* items(): AsyncGenerator<number> {
      try {
        yield 1;
        throw errno("EIO");
      } finally {
        closed++;
      }
    }
    const seen: number[] = [];
    const readAll = async (): Promise<void> => {
      for await (const item of explainedEach("check the store", items())) seen.push(item);
    };
    await expect(readAll()).rejects.toMatchObject({ code: "io_failed" });
    for await (const item of explainedEach("check the store", items())) {
      seen.push(item);
      break;
    }
    expect([seen, closed]).toEqual([[1, 1], 2]);
  });
});
