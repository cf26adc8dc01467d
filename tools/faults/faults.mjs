#!/usr/bin/env node
/**
 * Kills and starves the image store at every step it takes. Needs `npm run build` before; Linux and a C compiler.
 *
 *   usage: node tools/faults/faults.mjs kills|failures [--cases 500] [--seconds N] [--seed N]
 *          node tools/faults/faults.mjs crowd [--seconds 600] [--processes 8] [--seed N]
 *          node tools/faults/faults.mjs repeat CASE…
 *
 * What went wrong is told with the case, which `repeat` lets happen alone; this ends with 0 where nothing did.
 */
import { parseArgs } from "node:util";

import {
  chooseFailure,
  chooseKill,
  formatCase,
  missingForShim,
  parseCase,
  prepareBench,
  runCase,
  runCrowd,
  runMatrix,
} from "@lamella/faults";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: "string" },
    seconds: { type: "string" },
    processes: { type: "string", default: "8" },
    seed: { type: "string" },
  },
});
const [task, ...cases] = positionals;
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
const tasks = {
  kills: () => runMany(chooseKill),
  failures: () => runMany(chooseFailure),
  crowd: runTogether,
  repeat: () => repeat(cases.map(parseCase)),
};

const missing = missingForShim();
if (!Object.hasOwn(tasks, task ?? "") || missing !== undefined) {
  console.error(missing ?? `usage: node tools/faults/faults.mjs ${Object.keys(tasks).join("|")}; the file tells more`);
  process.exit(2);
}
await tasks[task]();

/** @param {import("@lamella/faults").FaultCase[]} faults */
async function repeat(faults) {
  for (const fault of faults) {
    await withBench([fault.operation], async (bench) => {
      console.log(formatCase(fault), JSON.stringify(await runCase(bench, fault)));
    });
  }
}

/** @param {typeof chooseKill} choose */
async function runMany(choose) {
  const limit = values.cases ?? (seconds === undefined ? "500" : undefined);
  console.log(`seed ${seed}`);
  await withBench(undefined, async (bench) => {
    for (const [operation, { calls, ms }] of bench.rehearsals) {
      console.log(`${operation}: ${calls.length} calls, ${ms.toFixed(0)} ms`);
    }
    const onFailed = ({ fault, error }) => console.log(`FAULT ${formatCase(fault)}: ${error.stack}`);
    const options = { seed, seconds, cases: limit === undefined ? undefined : Number(limit), choose, onFailed };
    const report = await runMatrix(bench, options);
    for (const counts of [report.counts, report.points]) {
      console.log();
      for (const [what, count] of [...counts].toSorted()) console.log(`${String(count).padStart(6)}  ${what}`);
    }
    console.log(`\n${report.cases} cases, ${report.failed.length} faults, seed ${seed}`);
    if (report.failed.length > 0) process.exitCode = 1;
  });
}

async function runTogether() {
  console.log(`seed ${seed}`);
  const report = await runCrowd({ processes: Number(values.processes), seconds: seconds ?? 600, seed });
  console.log(JSON.stringify(report, undefined, 2));
  if (report.faults.length > 0) process.exitCode = 1;
}

async function withBench(operations, use) {
  const bench = await prepareBench(operations);
  try {
    await use(bench);
  } finally {
    bench[Symbol.dispose]();
  }
}
