/** `npm start`: the main job on a sample image. `npm start -- disk SOURCE -o FILE …`: the command line itself. */
import { spawn } from "node:child_process";
import { join } from "node:path";

import { ensureBuilt, ROOT } from "./workspace.mjs";

const args = process.argv.slice(2);
const [target, entry] =
  args.length > 0 ? ["@lamella/cli", "apps/cli/dist/lamella.mjs"] : ["@lamella/demo", "tools/demo/dist/main.js"];
ensureBuilt(`${target}...`);

// npm runs scripts at the root: a relative path means the directory that the user stands in
const child = spawn(process.execPath, [join(ROOT, entry), ...args], {
  stdio: "inherit",
  cwd: process.env.INIT_CWD ?? ROOT,
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
