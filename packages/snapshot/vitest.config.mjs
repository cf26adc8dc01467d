import { preset } from "@lamella/presets/vitest";

// 128 snapshots are made and committed in one test, each of them flushed to disk
export default preset({ testTimeout: 120_000 });
