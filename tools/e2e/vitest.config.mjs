import { preset } from "@lamella/presets/vitest";

// real images, kernel mounts and boots: one at a time, with time enough
export default preset({ fileParallelism: false, testTimeout: 600_000, hookTimeout: 600_000 });
