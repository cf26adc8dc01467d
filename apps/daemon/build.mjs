import { fileURLToPath } from "node:url";

import { bundle, copyNativeSqlite } from "@lamella/presets/bundle";
import { build } from "vite";

const undici = fileURLToPath(import.meta.resolve("@lamella/presets/undici-core"));
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// a bundle's dynamic import of CommonJS, as undici is, has none of its names
await bundle("dist/lamellad.mjs", { splitting: true, replacements: { undici } });
copyNativeSqlite("dist/lamellad.mjs");
await build({ configFile: here("page/vite.config.mjs") });
