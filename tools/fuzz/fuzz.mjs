#!/usr/bin/env node
/**
 * Fuzzes what reads untrusted bytes. Needs `npm run build` before.
 *
 *   usage: node tools/fuzz/fuzz.mjs [--seconds 600] [--target tar|compression|toc|archive] [--seed N]
 *
 * Without a target the time is shared by all. Faults are kept in tools/fuzz/crashers, which the tests replay; there are none if
 * this ends with 0.
 */
import { parseArgs } from "node:util";
import { fuzz, saveCrasher, TARGETS } from "@lamella/fuzz";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "600" }, target: { type: "string" }, seed: { type: "string" } },
});
const names = TARGETS.map(({ name }) => name);
const chosen = values.target === undefined ? names : [values.target];
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const seconds = Number(values.seconds) / chosen.length;
if (!chosen.every((name) => names.includes(name)) || !(seconds > 0) || !Number.isSafeInteger(seed)) {
  console.error(`usage: node tools/fuzz/fuzz.mjs [--seconds N] [--target ${names.join("|")}] [--seed N]`);
  process.exit(2);
}

for (const target of chosen) {
  console.log(`${target}: ${seconds.toFixed(0)} s, seed ${seed}`);
  const { report, faults } = await fuzz({ target, seconds, seed });
  for (const fault of faults) {
    console.log(`${fault.reason}\n  kept as ${await saveCrasher(target, fault)}`);
    process.exitCode = 1;
  }
  if (report !== undefined) console.log(JSON.stringify(report));
}
