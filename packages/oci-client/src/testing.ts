export type { Fault, FaultAction } from "./testing/fault.js";
export {
  type FaultProxy,
  type FaultProxyOptions,
  type ProxiedRequest,
  startFaultProxy,
} from "./testing/fault-proxy.js";
