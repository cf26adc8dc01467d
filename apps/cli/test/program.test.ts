import { describe, expect, it } from "vitest";

import { COMMANDS } from "../src/command-table.js";

describe("the table of commands", () => {
  it.each(COMMANDS.map((entry) => [entry.name, entry] as const))("loads %s by its name", async (name, entry) => {
    const command = await entry.load();
    expect(command.name()).toBe(name);
  });

  it("names each command once", () => {
    expect(new Set(COMMANDS.map(({ name }) => name)).size).toBe(COMMANDS.length);
  });
});
