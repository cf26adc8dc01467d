export { pushImage } from "./push-image.js";
export type { PushedImage } from "./push-image.js";
export { startRegistry } from "./local-registry.js";
export type { LocalRegistry } from "./local-registry.js";
export { sampleLayers } from "./sample-image.js";
