import { cpSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { bundle } from "@lamella/presets/bundle";

await bundle("dist/lamellad.mjs", { splitting: true });

// SQLite for Nodes without one of their own is found above the chunk that loads it
const database = createRequire(new URL("../../packages/database/package.json", import.meta.url));
const prebuilds = join(dirname(database.resolve("@photostructure/sqlite/package.json")), "prebuilds");
for (const platform of readdirSync(prebuilds)) {
  cpSync(join(prebuilds, platform), join("dist/prebuilds", platform), { recursive: true });
}
