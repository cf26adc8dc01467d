import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Passes everything on to a registry and counts what blobs come back. */
export interface CountingProxy extends AsyncDisposable {
  readonly address: string;
  /** Bytes of answers from blobs, whole or by range. */
  readonly blobBytes: number;
}

export async function startCountingProxy(upstream: string): Promise<CountingProxy> {
  let blobBytes = 0;
  const pass = (incoming: IncomingMessage, response: ServerResponse): void => {
    const { method, url: path = "", headers } = incoming;
    const outgoing = request(`http://${upstream}${path}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (path.includes("/blobs/")) answer.on("data", (bytes: Buffer) => (blobBytes += bytes.length));
      answer.pipe(response);
    });
    outgoing.on("error", () => response.destroy());
    incoming.pipe(outgoing);
  };
  const server = createServer(pass);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get blobBytes() {
      return blobBytes;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
