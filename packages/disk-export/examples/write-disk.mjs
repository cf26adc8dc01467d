import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { planDisk, writeDisk } from "@lamella/disk-export";
import { memoryTree } from "@lamella/layer-format/testing";

// Any FileTree will do: an image's merged layers, a directory. This one is in memory.
const tree = memoryTree([
  {
    path: "etc/motd",
    content: "Hello from a disk that no mkfs made\n",
    mtime: 1_700_000_000,
    xattrs: { "user.lang": "en" },
  },
  { path: "etc/issue", linkTarget: "motd" },
  { path: "dev/console", kind: "char", mode: 0o600, device: { major: 5, minor: 1 } },
]);

const plan = await planDisk(tree, { format: "erofs", label: "example" });
// Any range can be read before anything is written: here EROFS's magic number, e2e1f5e0.
for await (const bytes of plan.read(1024, 4)) console.log(Buffer.from(bytes).toString("hex"));

const path = join(await mkdtemp(join(tmpdir(), "lamella-")), "disk.erofs");
const { sizeBytes, digest } = await writeDisk(plan, path, { digest: true });
console.log(`${path}: ${sizeBytes} bytes, ${digest}`); // as root: mount -t erofs -o loop,ro disk.erofs /mnt

const { losses } = await planDisk(tree, { format: "cpio" });
console.log(losses); // [ { what: 'xattrs', count: 1, paths: [ 'etc/motd' ] } ]
await tree[Symbol.asyncDispose]();
