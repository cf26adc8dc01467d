import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { lazyImageNeeds, missing, withLazyImage } from "../src/index.js";

const reason = missing(lazyImageNeeds);
/** Nobody listens on this port. */
const nowhere = { reference: "127.0.0.1:1/image:latest" };
const never = (): Promise<void> => Promise.reject(new Error("used"));

describe("withLazyImage()", () => {
  it("rejects with the reason of a signal that was aborted before", async () => {
    const why = new Error("stop");
    await expect(withLazyImage({ ...nowhere, signal: AbortSignal.abort(why) }, never)).rejects.toBe(why);
  });

  it.skipIf(reason !== undefined)(
    `throws for an image that it cannot have, and leaves nothing behind (${reason ?? "with containerd"})`,
    async () => {
      const before = await leftovers();
      await expect(withLazyImage(nowhere, never)).rejects.toMatchObject({ code: "tool_failed" });
      expect(await leftovers()).toEqual(before);
    },
    300_000,
  );
});

async function leftovers(): Promise<readonly string[]> {
  const directories = (await readdir(tmpdir())).filter((name) => name.startsWith("lamella-lazy-"));
  const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .filter((line) => line.includes("/lamella-lazy-"));
  return [...directories, ...mounts];
}
