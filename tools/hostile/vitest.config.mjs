import { preset } from "@lamella/presets/vitest";

export default preset({ fileParallelism: false, testTimeout: 120_000, hookTimeout: 600_000 });
