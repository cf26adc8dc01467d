import { blobTests } from "./blob-tests.js";
import { dataSetTests } from "./data-set-tests.js";
import { discoveryTests } from "./discovery-tests.js";
import { manifestTests } from "./manifest-tests.js";
import { createProbe } from "./probe.js";
import type { RegistryTarget, SpecificationTest } from "./probe.js";
import { rangeTests } from "./range-tests.js";

/** Every test of OCI distribution-spec 1.1, none of which needs more than a registry to send requests to. */
const specificationTests: readonly SpecificationTest[] = [
  ...discoveryTests,
  ...blobTests,
  ...rangeTests,
  ...manifestTests,
  ...dataSetTests,
];

export const specificationGroups: readonly string[] = [...new Set(specificationTests.map(({ group }) => group))];

/** How one test went. */
export interface SpecificationResult {
  readonly group: string;
  readonly name: string;
  /** What the registry does against the specification. */
  readonly failure: string | undefined;
  /** What it has left out, as the specification lets it. */
  readonly lacks: readonly string[];
}

/** At once: each has repositories of its own. */
const TESTS_AT_ONCE = 4;

/**
 * Asks a registry, by requests alone, for what OCI distribution-spec 1.1 says: every way to push a blob, ranges, wrong digests, data sets
 * with each kind of manifest, tags, referrers, deletion, each under SHA-256 and SHA-512 where a digest is given. It may hold other content
 * and keeps what could not be deleted: all of it in repositories under `conformance/`. Results come in the order of the tests; `group`
 * runs those of one group.
 */
export async function checkSpecification(target: RegistryTarget, group?: string): Promise<SpecificationResult[]> {
  const tests = specificationTests.filter((test) => group === undefined || test.group === group);
  const results: SpecificationResult[] = [];
  const rest = tests.entries();
  const lanes = Array.from({ length: TESTS_AT_ONCE }, async () => {
    for (const [at, test] of rest) results[at] = await runTest(test, target);
  });
  await Promise.all(lanes);
  return results;
}

async function runTest(test: SpecificationTest, target: RegistryTarget): Promise<SpecificationResult> {
  const lacks = new Set<string>();
  const { group, name } = test;
  let failure: string | undefined;
  try {
    await test.run(createProbe(target, lacks));
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  return { group, name, failure, lacks: [...lacks] };
}
