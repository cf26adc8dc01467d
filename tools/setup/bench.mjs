/** `npm run bench`: needs root, and the Debian packages and images that the tests need. */
import { ensureBuilt, run } from "./workspace.mjs";

ensureBuilt();
run(process.execPath, ["tools/fixtures/install-debian-packages.mjs"]);
run(process.execPath, ["tools/fixtures/make-images.mjs"]);
run(process.execPath, ["tools/bench/bench.mjs", ...process.argv.slice(2)]);
