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
const results = suites.flatMap((suite) =>
  ["test-results.json", "test-results-last.json"].map((name) => ({ suite, file: join(ROOT, suite, name) })),
);
for (const { file } of results) rmSync(file, { force: true });

ensureBuilt();
run(process.execPath, ["tools/fixtures/install-debian-packages.mjs"]);
run(process.execPath, ["tools/fixtures/make-images.mjs", "--if-possible"]);
const testSuites = (filter, ...args) =>
  tryStart(bin("turbo"), [
    "run",
    "test",
    "--only",
    "--continue",
    "--concurrency=1",
    "--output-logs=full",
    "--log-order=stream",
    `--filter=${filter}`,
    ...(args.length > 0 ? ["--", ...args] : []),
  ]);
// two lanes of about the same length: the end-to-end tests, and all other suites with those of the former that are left for the end
const END_TO_END = "@lamella/e2e";
const LAST = [
  "daemon-kills",
  "daemon-load",
  "disk-reproducible",
  "layer-differential",
  "packed-packages",
  "power-cut",
  "resume",
  "snapshot-drivers",
].map((name) => `test/${name}.test.ts`);
async function testOthers() {
  const first = await testSuites(`!${END_TO_END}`);
  const then = await testSuites(END_TO_END, ...LAST, "--outputFile.json=test-results-last.json");
  return first || then;
}
const [lane, otherLane] = await Promise.all([
  testSuites(END_TO_END, ...LAST.flatMap((file) => ["--exclude", file])),
  testOthers(),
]);
const status = lane || otherLane;

const total = { passed: 0, failed: 0, skipped: 0 };
for (const { suite, file } of results) {
  if (!existsSync(file)) continue;
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(readFileSync(file));
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
