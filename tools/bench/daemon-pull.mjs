/** Clients that pull, cheap enough that servers are what is measured: one buffer for all connections, bodies only counted, digests checked now and then. */
import { createHash } from "node:crypto";
import { connect } from "node:net";

const BUFFER_BYTES = 1 << 20;
const CHECKED_EVERY = 50;
const HEADERS_MAX_BYTES = 16 << 10;

/**
 * `clients` pull one image, again and again, each over a connection that it keeps, until the time is over. `parts`: path, size and digest of each of its
 * parts, in their order. @returns the bytes and answers that came, and what went wrong
 */
export async function pullAll({ port, parts, clients, seconds }) {
  const total = { bytes: 0, pulls: 0, answers: 0, errors: [] };
  const until = performance.now() + seconds * 1000;
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  await Promise.all(Array.from({ length: clients }, () => pullUntil(until, { port, parts, buffer, total })));
  return total;
}

async function pullUntil(until, { port, parts, buffer, total }) {
  let connection = openConnection(port, buffer);
  while (performance.now() < until) {
    const isChecked = total.pulls++ % CHECKED_EVERY === 0;
    try {
      for (const part of parts) {
        const onBytes = (count) => (total.bytes += count);
        if (!(await connection.get(part, { isChecked, until, onBytes }))) return;
        total.answers++;
      }
    } catch (error) {
      total.errors.push(error.message);
      connection.close();
      connection = openConnection(port, buffer);
    }
  }
  connection.close();
}

/** HTTP/1.1 as far as a registry speaks it in answers to `GET`: they have a length. */
function openConnection(port, buffer) {
  let take = () => {};
  let fail = () => {};
  const socket = connect({
    host: "127.0.0.1",
    port,
    onread: {
      buffer,
      callback(length) {
        take(buffer.subarray(0, length));
        return true;
      },
    },
  });
  socket.setNoDelay(true);
  socket.on("error", (error) => fail(error));
  socket.on("close", () => fail(new Error("the server hung up")));

  return {
    close: () => socket.destroy(),
    /** False if the time was over first; the connection is closed then. */
    get({ path, size, digest }, { isChecked, until, onBytes }) {
      return new Promise((resolve, reject) => {
        const hash = isChecked ? createHash("sha256") : undefined;
        const end = (settle) => {
          take = () => {};
          fail = () => {};
          settle();
        };
        const refuse = (state) => end(() => reject(new Error(`GET ${path}: ${state}`)));
        let head = "";
        let left;
        fail = ({ message }) => refuse(message);
        take = (bytes) => {
          let body = bytes;
          if (left === undefined) {
            head += bytes.toString("latin1");
            const headLength = head.indexOf("\r\n\r\n") + 4;
            if (headLength < 4) return void (head.length > HEADERS_MAX_BYTES && refuse("endless headers"));
            body = bytes.subarray(bytes.length - (head.length - headLength));
            const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(head) ?? [];
            left = Number(/^content-length: *(\d+)/im.exec(head.slice(0, headLength))?.[1]);
            if (status !== "200" || left !== size) return refuse(`${status}, ${left} of ${size} bytes`);
          }
          left -= body.length;
          hash?.update(body);
          onBytes(body.length);
          if (left > 0 && performance.now() < until) return;
          if (left > 0) {
            socket.destroy();
            end(() => resolve(false));
          } else if (hash !== undefined && `sha256:${hash.digest("hex")}` !== digest) refuse("other bytes");
          else end(() => resolve(true));
        };
        const accept = "application/vnd.oci.image.manifest.v1+json, */*";
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: ${accept}\r\n\r\n`);
      });
    },
  };
}
