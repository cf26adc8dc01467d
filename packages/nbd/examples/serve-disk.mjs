import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { serveNbd } from "@lamella/nbd";

// Anything with a size and a read. A DiskPlan of @lamella/disk-export is a disk as it stands; this one is made of nothing.
const disk = {
  sizeBytes: 1 << 30,
  segments: [{ offset: 0, length: 4096 }],
  async *read(offset, length) {
    const bytes = new Uint8Array(length);
    if (offset === 0) bytes.set(new TextEncoder().encode("Hello from a disk that nobody wrote\n"));
    yield bytes;
  },
};

const directory = await mkdtemp(join(tmpdir(), "nbd-"));
const server = await serveNbd(disk, { path: join(directory, "disk.sock") });
console.log(server.uri()); // qemu-img convert "nbd+unix:///?socket=…" copy.raw, or qemu-system-x86_64 -drive file=…
await server.close();
console.log(server.stats().requests); // 0
await rm(directory, { recursive: true });
