/** Of undici, what the registry client uses: to load all of it takes longer than Node takes to start. The bundle holds its version fixed. */
import { setFlagsFromString } from "node:v8";

import api from "undici/lib/api/index.js";
import Dispatcher from "undici/lib/dispatcher/dispatcher.js";

Object.assign(Dispatcher.prototype, api);

/**
 * V8 begins to optimize undici's parser, one large function of WebAssembly, at the first answer: that takes as long as Node takes to start, and few
 * commands read so much that it pays. Only in Nodes that are known to have the flag: others say on stderr that they do not.
 */
const LAST_NODE_TRIED = 24;
const PARSER_BUDGET = 100_000_000;
if (Number.parseInt(process.versions.node, 10) <= LAST_NODE_TRIED)
  setFlagsFromString(`--wasm-tiering-budget=${PARSER_BUDGET}`);

export { default as Agent } from "undici/lib/dispatcher/agent.js";
export { default as EnvHttpProxyAgent } from "undici/lib/dispatcher/env-http-proxy-agent.js";
