import { displayPath, mergeLayers } from "@lamella/layer-format";
import { memoryLayer } from "@lamella/layer-format/testing";

const base = memoryLayer([
  { path: "etc/hostname", content: "base\n" },
  { path: "usr/bin/tool", content: "#!/bin/sh\n", mode: 0o755 },
  { path: "usr/share/doc/tool", content: "how to use it\n" },
]);
const app = memoryLayer([
  { path: "etc/hostname", content: "app\n" },
  { path: "usr/bin/alias", kind: "hardlink", linkTarget: "usr/bin/tool", mode: 0o755 },
  { path: "usr/share/doc", kind: "whiteout" },
]);

const tree = await mergeLayers([base, app]);
try {
  for await (const entry of tree.entries()) {
    console.log(entry.mode.toString(8), entry.links, `/${displayPath(entry.path)}`);
  }
  const hostname = await tree.lookup("etc/hostname");
  for await (const chunk of tree.read(hostname)) process.stdout.write(chunk); // app
} finally {
  await tree[Symbol.asyncDispose]();
}
