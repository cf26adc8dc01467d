import { fileURLToPath } from "node:url";

import { bundle, copyNativeSqlite } from "@lamella/presets/bundle";

const undici = fileURLToPath(import.meta.resolve("@lamella/presets/undici-core"));
const standIn = (name) => fileURLToPath(import.meta.resolve(`./stand-ins/${name}`));

await bundle("dist/lamella.mjs", {
  splitting: true,
  profiles: ["commands/images", "commands/disk", "commands/digest"],
  replacements: {
    undici,
    "node:http2": standIn("no-http2.mjs"),
    "node:child_process": { file: standIn("no-child-process.mjs"), importer: /\/commander\/lib\// },
    "node:process": { file: standIn("process.cjs"), importer: /\/commander\/lib\// },
    "node:crypto": { file: standIn("late-crypto.mjs"), importer: /\/packages\/(database|image-store)\/dist\// },
    "@noble/hashes/sha2.js": standIn("no-portable-hash.mjs"),
    "@noble/hashes/utils.js": standIn("no-portable-hash.mjs"),
  },
});
copyNativeSqlite("dist/lamella.mjs");
