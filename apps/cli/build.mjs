import { fileURLToPath } from "node:url";

import { bundle, copyNativeSqlite } from "@lamella/presets/bundle";

const beside = (name) => fileURLToPath(import.meta.resolve(name));
const replacements = { undici: beside("./undici-core.mjs"), "node:http2": beside("./no-http2.mjs") };
await bundle("dist/lamella.mjs", { splitting: true, replacements });
copyNativeSqlite("dist/lamella.mjs");
