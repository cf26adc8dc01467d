import { preset } from "@lamella/presets/vitest";

export default preset();
