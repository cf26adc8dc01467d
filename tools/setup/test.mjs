/**
 * `npm test`: installs what the tests need, makes the real images, runs every suite and adds up.
 * In CI (`CI=true`) a skipped test is a failure.
 */
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { bin, ensureBuilt, ROOT, run, tryStart } from "./workspace.mjs";

const suites = ["packages", "apps", "tools"].flatMap((group) =>
  readdirSync(join(ROOT, group)).map((name) => join(group, name)),
);
const results = (suite) => join(ROOT, suite, "test-results.json");
for (const suite of suites) rmSync(results(suite), { force: true });

ensureBuilt();
run(process.execPath, ["tools/fixtures/install-debian-packages.mjs"]);
run(process.execPath, ["tools/fixtures/make-images.mjs", "--if-possible"]);
// the long suite, whose tests come one at a time, beside all others, of which one runs at a time
const testAll = (filter) =>
  tryStart(bin("turbo"), [
    "run",
    "test",
    "--only",
    "--continue",
    "--concurrency=1",
    "--output-logs=full",
    "--log-order=stream",
    `--filter=${filter}`,
  ]);
const statuses = await Promise.all([testAll("@lamella/e2e"), testAll("!@lamella/e2e")]);
const status = statuses.find((each) => each !== 0) ?? 0;

const total = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites) {
  if (!existsSync(results(suite))) continue;
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(results(suite)),
  );
  total.passed += numPassedTests;
  total.failed += numFailedTests;
  total.skipped += numPendingTests + numTodoTests;
  for (const { assertionResults } of testResults) {
    for (const { status: outcome, fullName } of assertionResults) {
      if (outcome === "skipped" || outcome === "pending") console.log(`SKIPPED  ${suite}: ${fullName}`);
      if (outcome === "failed") console.log(`FAILED   ${suite}: ${fullName}`);
    }
  }
}
if (total.skipped > 0)
  console.log(`\n${total.skipped} tests were SKIPPED: the lines above say what each of them needs.`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
if (status !== 0 || total.failed > 0 || total.passed === 0) process.exit(status || 1);
if (process.env.CI && total.skipped > 0) {
  console.log("In CI nothing may be skipped.");
  process.exit(1);
}
