import { bundle, copyNativeSqlite } from "@lamella/presets/bundle";

await bundle("dist/lamellad.mjs", { splitting: true });
copyNativeSqlite("dist/lamellad.mjs");
