/**
 * `npm run bench [IMAGE…]`: whole commands on images. `npm run bench layers`: reading layers. `npm run bench merge`: merging them.
 * Numbers and ratios to peers in one run; nothing here decides a test.
 */
import { benchCommands } from "./commands.mjs";
import { benchLayers } from "./layers.mjs";
import { benchMerge } from "./merge.mjs";

const [first, ...others] = process.argv.slice(2);
if (first === "layers") await benchLayers();
else if (first === "merge") await benchMerge();
else await benchCommands(first === undefined ? ["debian-slim", "node-app", "big"] : [first, ...others]);
