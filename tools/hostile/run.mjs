#!/usr/bin/env node
/**
 * Tries the corpus on a command, prints a table and `N passed, N failed`.
 *
 *   usage: node tools/hostile/run.mjs [--cli PATH] [--only TEXT]
 *
 * PATH is a program, or a JavaScript file that this Node runs; by default the command of this workspace. With --only the cases
 * whose id has TEXT in it. Exit code 1: a case failed; 2: usage.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { caseId, hostileCases, tryAll, writeCorpus } from "./dist/index.js";

const { values } = readArguments();
const cli = resolve(values.cli);
const cases = hostileCases.filter((each) => caseId(each).includes(values.only));
const corpus = mkdtempSync(join(tmpdir(), "lamella-hostile-corpus-"));
try {
  await writeCorpus(corpus, cases);
  const command = /\.[cm]?js$/.test(cli) ? [process.execPath, cli] : [cli];
  const verdicts = await tryAll(cases, { command, corpus, onVerdict: printRow });
  const failed = verdicts.filter(({ faults }) => faults.length > 0).length;
  const peak = Math.max(...verdicts.map(({ peakBytes }) => peakBytes));
  const slowest = Math.max(...verdicts.map(({ seconds }) => seconds));
  console.log(`\nat most ${(peak / 1e6).toFixed(0)} MB and ${slowest.toFixed(1)} s a process`);
  console.log(`${verdicts.length - failed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
} finally {
  rmSync(corpus, { recursive: true, force: true });
}

function printRow({ case: each, faults, seconds, peakBytes, message }) {
  const outcome = faults.length > 0 ? "FAILED" : "ok";
  const cost = `${seconds.toFixed(1).padStart(5)} s ${(peakBytes / 1e6).toFixed(0).padStart(4)} MB`;
  console.log(`${outcome.padEnd(6)} ${each.rule.padEnd(7)} ${cost}  ${caseId(each)}`);
  if (process.stdout.isTTY && message !== "") console.log(`       ${message}`);
  for (const fault of faults) console.log(`       ${fault}`);
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        cli: { type: "string", default: join(import.meta.dirname, "../../apps/cli/dist/lamella.mjs") },
        only: { type: "string", default: "" },
      },
    });
  } catch (error) {
    console.error(`${error.message}\nusage: node tools/hostile/run.mjs [--cli PATH] [--only TEXT]`);
    return process.exit(2);
  }
}
