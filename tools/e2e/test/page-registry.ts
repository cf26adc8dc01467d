import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer, request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { pushImage } from "@lamella/demo/sample";
import { startRegistry } from "@lamella/fixtures";
import { byteString } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
import { createRegistryClient } from "@lamella/oci-client";
import { parseReference } from "@lamella/refs";

import { HOSTILE } from "./page-fixed-state.js";

/** A registry with one image, whose layers are slow to come, or stay away until they are let go. */
export interface SlowRegistry extends AsyncDisposable {
  readonly name: string;
  /** No layer comes until it is disposed of. */
  hold(): Disposable;
}

const PIECE_BYTES = 1 << 17;
const PAUSE_MS = 25;

export async function startSlowRegistry(directory: string): Promise<SlowRegistry> {
  const data = join(directory, "registry");
  mkdirSync(data);
  const registry = await startRegistry({ data, readOnly: false });
  const client = createRegistryClient();
  try {
    await pushImage(client.repository(parseReference(`${registry.address}/page/app`)), "v1", imageLayers());
  } finally {
    await client.close();
  }
  let open = Promise.resolve();
  let letGo = (): void => {};
  const slowly = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method, url: path = "", headers } = incoming;
    const outgoing = request(`http://${registry.address}${path}`, { method, headers }).end();
    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    const isLayer = Number(answer.headers["content-length"]) > PIECE_BYTES;
    await pipeline(answer, isLayer ? pieces : asTheyAre, response);
  };
  async function* pieces(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const bytes of body) {
      for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
        await open;
        await sleep((PAUSE_MS * Math.min(PIECE_BYTES, bytes.length - start)) / PIECE_BYTES);
        yield bytes.subarray(start, start + PIECE_BYTES);
      }
    }
  }
  const server = createServer((incoming, response) => {
    // a client that cancels is meant to be
    slowly(incoming, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    name: `127.0.0.1:${(server.address() as AddressInfo).port}/page/app:v1`,
    hold() {
      open = new Promise((resolve) => (letGo = resolve));
      return { [Symbol.dispose]: letGo };
    },
    async [Symbol.asyncDispose]() {
      letGo();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
      await registry.close();
    },
  };
}

async function* asTheyAre(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* body;
}

/** A base, and a layer that adds, changes and removes. */
function imageLayers(): TarInput[][] {
  const directories = ["", "etc", "opt", "usr", "usr/lib", "usr/share", "usr/share/doc"];
  const base = [
    ...directories.map((path) => node(path, "directory")),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    file(`opt/${HOSTILE}`, "not markup\n"),
    file("opt/\u001b[31mred\u202egnp.exe", "not red\n"),
    // nothing packs it: it takes its time
    file("usr/lib/noise", randomBytes(8 << 20)),
    file("usr/share/doc/readme", "nobody reads it\n"),
  ];
  const top = [
    file("etc/motd", "hello\n"),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/false\n"),
    node("usr/share/doc/readme", "whiteout"),
  ];
  return [base, top];
}

function node(path: string, kind: TarInput["kind"]): TarInput {
  const mode = kind === "directory" ? 0o755 : 0o644;
  const none = { uid: 0, gid: 0, mtimeSeconds: 1_735_689_600, mtimeNanoseconds: 0, size: 0, linkTarget: "" };
  return { ...none, path: byteString(path), kind, mode, xattrs: new Map(), deviceMajor: 0, deviceMinor: 0 };
}

function file(path: string, content: string | Uint8Array): TarInput {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return {
    ...node(path, "file"),
    size: bytes.length,
    contents: async function* () {
      yield bytes;
    },
  };
}
