import { breakoutTests } from "./breakouts.js";
import { callTests } from "./calls.js";
import { contentTests } from "./contents.js";
import { fileSystemTests } from "./file-systems.js";
import { labelTests } from "./labels.js";
import { layerTests } from "./layers.js";
import { lifecycleTests } from "./lifecycle.js";
import { recordTests } from "./records.js";
import type { ConformanceGroup, SnapshotterConformance, TestFunctions } from "./suite.js";

/**
 * What every snapshotter does, whatever keeps its snapshots: the behaviours that containerd's suites ask of snapshotters, of their records, of applying
 * layers and of file systems in steps, and what those leave open. Each test has a snapshotter of its own; the longest makes 128 layers and takes some seconds.
 *
 * What only root can do is skipped for anybody else; of what the suite's traits say that a driver cannot do, it is tested what it does instead.
 */
export function snapshotterConformance(runner: TestFunctions, suite: SnapshotterConformance): void {
  const it = suite.unavailable === undefined ? runner.it : skipped(runner);
  const group: ConformanceGroup = { describe: runner.describe, it, suite };
  const reason = suite.unavailable === undefined ? "" : ` (skipped: ${suite.unavailable})`;
  runner.describe(`${suite.name}${reason}`, () => {
    lifecycleTests(group);
    recordTests(group);
    labelTests(group);
    contentTests(group);
    fileSystemTests(group);
    layerTests(group);
    breakoutTests(group);
    callTests(group);
  });
}

function skipped({ it: { skip } }: TestFunctions): TestFunctions["it"] {
  return Object.assign((name: string, body: () => Promise<void>) => skip(name, body), { skip });
}
