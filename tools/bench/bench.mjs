/**
 * `npm run bench [IMAGE…]`: whole commands on images. `npm run bench layers`: reading layers. `npm run bench merge`: merging them.
 * `npm run bench disks [IMAGE…]`: disks of pulled images. `npm run bench snapshots`: the diff of a snapshot.
 * `npm run bench store`: a store of many images.
 * Numbers and ratios to peers in one run; nothing here decides a test.
 */
import { benchCommands } from "./commands.mjs";
import { benchDisks } from "./disks.mjs";
import { benchLayers } from "./layers.mjs";
import { benchMerge } from "./merge.mjs";
import { benchSnapshots } from "./snapshots.mjs";
import { benchStore } from "./store.mjs";

const IMAGES = ["debian-slim", "node-app", "big"];
const [first, ...others] = process.argv.slice(2);
if (first === "layers") await benchLayers();
else if (first === "merge") await benchMerge();
else if (first === "store") await benchStore();
else if (first === "snapshots") await benchSnapshots();
else if (first === "disks") await benchDisks(others.length > 0 ? others : IMAGES);
else await benchCommands(first === undefined ? IMAGES : [first, ...others]);
