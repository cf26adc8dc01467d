import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { FuseError, mountTree } from "@lamella/fuse";
import { mergeLayers } from "@lamella/layer-format";
import { memoryLayer } from "@lamella/layer-format/testing";

const base = memoryLayer([
  { path: "etc/motd", content: "hello\n" },
  { path: "etc/old", content: "from the base\n" },
]);
const upper = memoryLayer([
  { path: "etc/old", kind: "whiteout" },
  { path: "bin/ping", content: "#!/bin/sh\n", mode: 0o4755 },
]);

const tree = await mergeLayers([base, upper]);
const directory = await mkdtemp(join(tmpdir(), "fuse-"));
try {
  const mount = await mountTree(tree, directory, { timeoutMs: 5000 });
  // another program looks at it: a mount is not for the thread that reads its files
  const { stdout } = await promisify(execFile)("find", [mount.directory, "-type", "f", "-printf", "%m %P\n"]);
  console.log(stdout); // 4755 bin/ping, 644 etc/motd
  console.log(await mount.unmount()); // unmounted
} catch (error) {
  // nobody but root may mount, of the machine or of a namespace of one's own
  if (!(error instanceof FuseError && error.code === "unsupported")) throw error;
  console.log(error.message);
} finally {
  await tree[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
}
