import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";

/** Gets each answer's path and body and gives the body to send instead, or nothing to break the connection off midway. */
export type Tamper = (path: string, body: Buffer) => Buffer | undefined;

/** A registry that lies: passes everything on to a real one and changes what comes back. */
export async function startTamperingProxy(
  upstream: string,
  tamper: Tamper,
): Promise<{ address: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    void (async () => {
      // without Range, so that what is changed is always the whole body
      const headers = { accept: request.headers.accept ?? "*/*" };
      const answer = await fetch(`http://${upstream}${request.url}`, { method: request.method ?? "GET", headers });
      const body = Buffer.from(await answer.arrayBuffer());
      const changed = tamper(request.url ?? "", body);
      for (const [name, value] of answer.headers)
        if (!["connection", "content-length", "transfer-encoding"].includes(name)) response.setHeader(name, value);
      if (request.method === "HEAD") {
        response.writeHead(answer.status, { "content-length": answer.headers.get("content-length") ?? "0" }).end();
      } else if (changed === undefined) {
        response.writeHead(answer.status, { "content-length": body.length });
        response.write(body.subarray(0, body.length >> 1), () => response.destroy());
      } else response.writeHead(answer.status, { "content-length": changed.length }).end(changed);
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
