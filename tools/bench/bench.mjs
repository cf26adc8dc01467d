/**
 * `npm run bench [IMAGE…]`: whole commands on images. `npm run bench layers`: reading layers. `npm run bench merge`: merging them.
 * `npm run bench disks [--on-disk] [IMAGE…]`: disks of pulled images. `npm run bench snapshots`: the diff of a snapshot.
 * `npm run bench store`: a store of many images. `npm run bench fuse`: a mounted tree.
 * `npm run bench lazy`: the first file of an image that nobody pulled. `npm run bench daemon`: lamellad under load.
 * Numbers and ratios to peers in one run; nothing here decides a test.
 */
import { benchCommands } from "./commands.mjs";
import { benchDaemon } from "./daemon.mjs";
import { benchDisks } from "./disks.mjs";
import { benchFuse } from "./fuse.mjs";
import { benchLayers } from "./layers.mjs";
import { benchLazy } from "./lazy.mjs";
import { benchMerge } from "./merge.mjs";
import { benchSnapshots } from "./snapshots.mjs";
import { benchStore } from "./store.mjs";

const IMAGES = ["debian-slim", "node-app", "big"];
const isOnDisk = process.argv.includes("--on-disk");
const [first, ...others] = process.argv.slice(2).filter((parameter) => parameter !== "--on-disk");
if (first === "layers") await benchLayers();
else if (first === "merge") await benchMerge();
else if (first === "fuse") await benchFuse();
else if (first === "lazy") await benchLazy();
else if (first === "store") await benchStore();
else if (first === "snapshots") await benchSnapshots();
else if (first === "daemon") await benchDaemon(others);
else if (first === "disks") await benchDisks(others.length > 0 ? others : IMAGES, { isOnDisk });
else await benchCommands(first === undefined ? IMAGES : [first, ...others]);
