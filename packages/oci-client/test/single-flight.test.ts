import { describe, expect, it } from "vitest";

import { createSingleFlight } from "../src/single-flight.js";

describe("createSingleFlight()", () => {
  it("shares what is under way for a key, and begins anew when it has ended", async () => {
    const flights = createSingleFlight<number>();
    let count = 0;
    const work = async (): Promise<number> => {
      await Promise.resolve();
      return ++count;
    };
    expect(await Promise.all(["a", "a", "b"].map((key) => flights.run(key, work, {})))).toEqual([1, 1, 2]);
    expect(await flights.run("a", work, {})).toBe(3);
  });

  it("gives all callers the same error, and none to the next", async () => {
    const flights = createSingleFlight<string>();
    const fail = (): Promise<never> => Promise.reject(new Error("no"));
    const outcomes = await Promise.allSettled([flights.run("a", fail, {}), flights.run("a", fail, {})]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await flights.run("a", () => Promise.resolve("yes"), {})).toBe("yes");
  });

  it("aborts the work when the last caller has left, not before, and lets nobody join it then", async () => {
    const flights = createSingleFlight<string>();
    const seen: AbortSignal[] = [];
    const work = (signal: AbortSignal): Promise<string> => {
      seen.push(signal);
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const callers = [first, second].map(({ signal }) => flights.run("a", work, { signal }));
    first.abort("first");
    await expect(callers[0]).rejects.toBe("first");
    expect(seen.map(({ aborted }) => aborted)).toEqual([false]);
    second.abort("second");
    await expect(callers[1]).rejects.toBe("second");
    expect(seen.map(({ aborted }) => aborted)).toEqual([true]);
    expect(await flights.run("a", () => Promise.resolve("new"), {})).toBe("new");
  });

  it("does not begin for a caller that has aborted", async () => {
    const signal = AbortSignal.abort("enough");
    const work = (): Promise<never> => expect.unreachable();
    await expect(createSingleFlight().run("a", work, { signal })).rejects.toBe("enough");
  });
});
