export { createLossCollector, type LossCollector } from "@lamella/layer-format";
