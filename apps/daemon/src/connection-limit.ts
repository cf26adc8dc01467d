import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

export interface ConnectionLimit {
  /** Counts the connections of one more server. */
  watch(server: Server): void;
  readonly count: number;
}

/**
 * At most so many connections of all servers together. When there is one more, the one that has been idle for longest makes room: idle are those with no
 * request whose headers have come, so whoever opens connections and sends nothing, or slowly, locks nobody out. Only where all are busy the new one goes.
 */
export function createConnectionLimit(max: number, onCut: () => void = () => {}): ConnectionLimit {
  const all = new Set<Socket>();
  /** Those idle for longest first. */
  const idle = new Set<Socket>();
  /** Requests under way: a client may send one after the other without waiting. */
  const requests = new WeakMap<Socket, number>();

  function admit(socket: Socket): void {
    all.add(socket);
    idle.add(socket);
    socket.once("close", () => {
      all.delete(socket);
      idle.delete(socket);
    });
    if (all.size <= max) return;
    onCut();
    const [longest = socket] = idle;
    // its end is only told later
    all.delete(longest);
    idle.delete(longest);
    longest.destroy();
  }

  return {
    watch(server) {
      /** What TLS is spoken over. */
      const carriers = new WeakMap<Socket, Socket>();
      const handshakes = new Map<string, Socket>();
      server.on("connection", (socket: Socket) => {
        admit(socket);
        const peer = peerOf(socket);
        if (peer === undefined) return;
        handshakes.set(peer, socket);
        socket.once("close", () => handshakes.get(peer) === socket && handshakes.delete(peer));
      });
      server.on("secureConnection", (socket: TLSSocket) => {
        const carrier = handshakes.get(peerOf(socket) ?? "");
        if (carrier !== undefined) carriers.set(socket, carrier);
      });
      server.on("request", ({ socket: spoken }: IncomingMessage, response: ServerResponse) => {
        const socket = carriers.get(spoken) ?? spoken;
        idle.delete(socket);
        requests.set(socket, (requests.get(socket) ?? 0) + 1);
        response.once("close", () => {
          const left = (requests.get(socket) ?? 1) - 1;
          requests.set(socket, left);
          if (left === 0 && all.has(socket)) idle.add(socket);
        });
      });
    },
    get count() {
      return all.size;
    },
  };
}

function peerOf({ remoteAddress, remotePort }: Socket): string | undefined {
  return remotePort === undefined ? undefined : `${remoteAddress} ${remotePort}`;
}
