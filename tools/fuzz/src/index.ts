export { createRandom, type Random } from "./random.js";
export { mutateTar } from "./mutate-tar.js";
export { loadCrashers, saveCrasher } from "./crashers.js";
export { fuzz } from "./fuzz.js";
export { layerStack, type StackOptions } from "./layer-stack.js";
export { cut, readTar, type ReadTarEntry, type TarReading } from "./read-tar.js";
export type { GeneratedEntry } from "./tar-entry.js";
export { encodeTar, type GeneratedTar, generatedTar } from "./tar-arbitrary.js";
export { TARGETS } from "./targets.js";
