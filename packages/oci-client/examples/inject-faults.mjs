import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createRegistryClient, downloadBlobToFile } from "@lamella/oci-client";
import { startFaultProxy } from "@lamella/oci-client/testing";
import { digestOf, parseReference } from "@lamella/refs";

// A registry with one blob; any other will do, as long as it serves ranges.
const blob = new Uint8Array(300_000).fill(7);
const upstream = createServer(({ headers }, response) => {
  const start = Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0);
  const range = { "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}` };
  response.writeHead(start > 0 ? 206 : 200, { "content-length": blob.length - start, ...(start > 0 && range) });
  response.end(blob.subarray(start));
});
await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));

const proxy = await startFaultProxy({
  upstream: `http://127.0.0.1:${upstream.address().port}`,
  faults: [
    { times: 1, action: { kind: "answer", status: 503, headers: { "retry-after": "0" } } },
    { times: 1, action: { kind: "reset", afterBytes: 100_000 } },
  ],
});
const client = createRegistryClient();
const directory = await mkdtemp(join(tmpdir(), "lamella-example-"));
try {
  const repository = client.repository(parseReference(`${proxy.host}/demo:1.0`));
  const descriptor = { mediaType: "application/octet-stream", digest: digestOf(blob), size: blob.length };
  await downloadBlobToFile(repository, descriptor, join(directory, "blob"));
  for (const { status, range, sentBytes } of proxy.requests) console.log(status, range ?? "the whole", sentBytes);
} finally {
  await client.close();
  await proxy.close();
  upstream.close();
  await rm(directory, { recursive: true });
}
