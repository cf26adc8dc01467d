import { fileURLToPath } from "node:url";

import { bundle, copyNativeSqlite } from "@lamella/presets/bundle";

const undici = fileURLToPath(import.meta.resolve("@lamella/presets/undici-core"));
const http2 = fileURLToPath(import.meta.resolve("./no-http2.mjs"));
await bundle("dist/lamella.mjs", { splitting: true, replacements: { undici, "node:http2": http2 } });
copyNativeSqlite("dist/lamella.mjs");
