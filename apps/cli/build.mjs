import { bundle } from "@lamella/presets/bundle";

await bundle("dist/lamella.mjs");
