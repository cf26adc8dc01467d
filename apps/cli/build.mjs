import { fileURLToPath } from "node:url";

import { bundle, copyNativeSqlite } from "@lamella/presets/bundle";

const undici = fileURLToPath(import.meta.resolve("./undici-core.mjs"));
await bundle("dist/lamella.mjs", { splitting: true, replacements: { undici } });
copyNativeSqlite("dist/lamella.mjs");
