/** `npm run check`: format, lint, types, floors, manifests and docs. Everything is looked at before it says no. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { bin, ensureBuilt, ROOT, tryRun } from "./workspace.mjs";

const inGroup = (group) => readdirSync(join(ROOT, group)).map((name) => join(group, name));
const published = [...inGroup("packages"), ...inGroup("apps")];

ensureBuilt();
/** @type {[name: string, check: () => number][]} */
const checks = [
  ["format", () => tryRun(bin("oxfmt"), ["--check"])],
  ["lint", () => tryRun(bin("oxlint"), ["--quiet"])],
  [
    "types of tests",
    () =>
      all([...published, ...inGroup("tools")].filter(hasTests), (dir) =>
        tryRun(bin("tsc"), ["--noEmit", "-p", `${dir}/test`]),
      ),
  ],
  ["floors", () => tryRun(bin("turbo"), ["boundaries"])],
  ["versions (sherif)", () => tryRun(bin("sherif"), ["--no-install"])],
  ["unused (knip)", () => tryRun(bin("knip"), [])],
  ["manifests (publint)", () => all(published, (dir) => tryRun(bin("publint"), [dir, "--strict"]))],
  [
    "exported types (attw)",
    () => all(inGroup("packages"), (dir) => tryRun(bin("attw"), ["--pack", dir, "--profile", "esm-only"])),
  ],
  ["docs", () => tryRun(process.execPath, ["tools/checks/docs.mjs"])],
];

function hasTests(dir) {
  return existsSync(join(ROOT, dir, "test/tsconfig.json"));
}

function all(dirs, check) {
  return dirs.map(check).find((status) => status !== 0) ?? 0;
}

const failed = [];
for (const [name, check] of checks) {
  console.log(`\n== ${name}`);
  if (check() !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.log(`\ncheck FAILED: ${failed.join(", ")}`);
  process.exit(1);
}
console.log("\ncheck passed");
