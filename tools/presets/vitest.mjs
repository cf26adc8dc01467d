/**
 * The one vitest preset. A package's `vitest.config.mjs` is `export default preset()`.
 *
 * Results are also written as JSON to `test-results.json`, from which `npm test` adds up the whole workspace.
 *
 * @param {import("vitest/config").ViteUserConfig["test"]} [overrides]
 * @returns {import("vitest/config").ViteUserConfig}
 */
export function preset(overrides = {}) {
  return {
    test: {
      include: ["test/**/*.test.ts"],
      pool: "threads",
      isolate: false,
      testTimeout: 30_000,
      reporters: ["default", "json"],
      outputFile: { json: "test-results.json" },
      ...overrides,
    },
  };
}
