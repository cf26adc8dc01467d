import { describe, expect, it } from "vitest";

import { defaultStoreDirectory } from "../src/store-directory.js";

describe("defaultStoreDirectory()", () => {
  it.each([
    [{ LAMELLA_ROOT: "/store", XDG_DATA_HOME: "/data", HOME: "/home/a" }, "/store"],
    [{ LAMELLA_ROOT: "", XDG_DATA_HOME: "/data", HOME: "/home/a" }, "/data/lamella"],
    [{ HOME: "/home/a" }, "/home/a/.local/share/lamella"],
  ])("of %j is %s", (environment, directory) => expect(defaultStoreDirectory(environment)).toBe(directory));
});
