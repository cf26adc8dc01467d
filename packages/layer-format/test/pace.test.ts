import { describe, expect, it } from "vitest";

import { Pace } from "../src/node/directory/pace.js";

describe("Pace", () => {
  /** A pace whose pieces of work take so many milliseconds of a clock of its own, and say where they were done. */
  function paceOf(): { work: (milliseconds: number) => Promise<string> } {
    let now = 0;
    const pace = new Pace({ here: () => "here", pool: () => "pool" }, () => now);
    return {
      work: (milliseconds) =>
        pace.run((where) => {
          now += milliseconds;
          return Promise.resolve(where());
        }),
    };
  }

  it("gives the event loop a turn after each burst, and none within", async () => {
    const { work } = paceOf();
    const turns: boolean[] = [];
    for (let burst = 0; burst < 3; burst++) {
      let turned = false;
      setImmediate(() => (turned = true));
      for (let count = 0; count < 5; count++) {
        await work(1);
        turns.push(turned);
      }
      await work(0);
      turns.push(turned);
    }
    const oneBurst = [false, false, false, false, false, true];
    expect(turns).toEqual([...oneBurst, ...oneBurst, ...oneBurst]);
  });

  it("leaves slow storage to the thread pool, and looks again after a while", async () => {
    const { work } = paceOf();
    expect([await work(4), await work(5)]).toEqual(["here", "here"]);
    for (let count = 0; count < 16; count++) expect(await work(5)).toBe("pool");
    expect([await work(5), await work(0)]).toEqual(["here", "pool"]);
  });

  it("goes on after work that failed", async () => {
    const pace = new Pace({ here: "here", pool: "pool" }, () => 0);
    const error = new Error("broken");
    await expect(pace.run(() => Promise.reject(error))).rejects.toBe(error);
    expect(await pace.run((where) => Promise.resolve(where))).toBe("here");
  });
});
