/**
 * A process that makes disks, started by `disks.mjs` with the directory of a store, which stays open: it gets one disk as a message, and gives back
 * the CPU seconds that it took, and the most memory that the process had so far.
 */
import { readFileSync } from "node:fs";

import { planDisk, writeDisk } from "@lamella/disk-export";
import { openImageStore, openImageTree, readImage } from "@lamella/image-store";
import { hostPlatform } from "@lamella/refs";

const store = await openImageStore(process.argv[2]);
process.once("disconnect", () => store[Symbol.asyncDispose]());
process.on("message", async (job) => {
  const before = process.cpuUsage();
  await makeDisk(job);
  const { user, system } = process.cpuUsage(before);
  process.send({ cpu: (user + system) / 1e6, peak: peakMemory() });
});

async function makeDisk({ name, file, options }) {
  const image = await readImage(store, await store.resolve(name), { platform: hostPlatform() });
  const tree = await openImageTree(store.content, image);
  try {
    const plan = await planDisk(tree, options);
    try {
      await writeDisk(plan, file);
    } finally {
      await plan[Symbol.asyncDispose]();
    }
  } finally {
    await tree[Symbol.asyncDispose]();
  }
}

/** In bytes. `resourceUsage` counts the memory of the process that forked this one, too. */
function peakMemory() {
  const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(kibibytes) * 1024;
}
