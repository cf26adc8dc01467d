import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { bundle } from "@lamella/presets/bundle";

const undici = fileURLToPath(import.meta.resolve("./undici-core.mjs"));
await bundle("dist/lamella.mjs", { splitting: true, replacements: { undici } });
copyPrebuilds();

/** The native part of SQLite, for Nodes that have none of their own that is new enough: its loader looks in the directory above its chunk. */
function copyPrebuilds() {
  const database = createRequire(fileURLToPath(import.meta.resolve("@lamella/database")));
  const from = join(dirname(database.resolve("@photostructure/sqlite")), "..", "prebuilds");
  rmSync("dist/prebuilds", { recursive: true, force: true });
  for (const platform of readdirSync(from)) {
    mkdirSync(join("dist/prebuilds", platform), { recursive: true });
    for (const name of readdirSync(join(from, platform)).filter((file) => file.endsWith(".node")))
      cpSync(join(from, platform, name), join("dist/prebuilds", platform, name));
  }
}
