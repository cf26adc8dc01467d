/** /dev/fuse: a message a call. Both throw what the system call says. */
export interface Device {
  /** Where a request lies until the next is read. */
  readonly request: Buffer;
  /** Waits for a request and gives its length; 0 at the end. */
  read(): number;
  write(from: Buffer, length: number): void;
}

/** What of Node a device is made of. */
export interface DeviceParts {
  readonly fs: Pick<typeof import("node:fs"), "readSync" | "writeSync">;
  readonly wasi: Pick<typeof import("node:wasi"), "WASI">;
  readonly WebAssembly: { readonly Memory: new (pages: { initial: number }) => { readonly buffer: ArrayBuffer } };
  readonly now: () => number;
}

/**
 * Takes an open /dev/fuse, which nobody else may read.
 *
 * To wake a thread takes several times as long as an answer where its processor has gone to sleep, most of all in a virtual machine. So where
 * the time between an answer and the next request looks like that, the next is looked for without sleeping, for some microseconds; where it is shorter, nobody
 * has had to be woken, and the processor is better left to others. Who is asked nothing sleeps.
 *
 * Of Node's interfaces only WASI's `fd_fdstat_set_flags` can say that a read is not to wait, and its `fd_read` says "nothing yet" by a number; an
 * exception takes longer than an answer.
 *
 * Self-contained: its text is run in a thread of its own.
 */
export function createDevice(fd: number, { fs, wasi, WebAssembly, now }: DeviceParts): Device {
  const lookMs = 0.08;
  /** How long it takes to be asked again, by way of sleep, where looking for it is worth while. */
  const asleep = { leastMs: 0.03, mostMs: 0.2 };
  /** So many of those in a row are wanted before it is done; more after it was in vain, twice as many each time. */
  const evidenceWanted = { least: 4, most: 64 };
  /** After so many requests that were found one is waited for, as others may want the processor by now. */
  const mostFound = 64;
  // Of WASI's preview 1, where the device is its standard input.
  const stdin = 0;
  const flags = { wait: 0, nonblock: 4 };
  const errno = { success: 0, again: 6 };

  // What the kernel asks for at least, and more than any request of a mount that is read-only takes.
  const requestBytes = 128 * 1024;
  const memory = new WebAssembly.Memory({ initial: 3 });
  const numbers = new DataView(memory.buffer);
  const vectorAt = 0;
  const countAt = 8;
  const requestAt = 16;
  numbers.setUint32(vectorAt, requestAt, true);
  numbers.setUint32(vectorAt + 4, requestBytes, true);
  const request = Buffer.from(memory.buffer, requestAt, requestBytes);

  const system = new wasi.WASI({ version: "preview1", stdin: fd });
  system.initialize({ exports: { memory } });
  const calls = system.wasiImport as Record<"fd_fdstat_set_flags" | "fd_read", (...numbers: number[]) => number>;

  let waits = true;
  let evidence = 0;
  let wanted: number = evidenceWanted.least;
  let found = 0;

  function setWaits(value: boolean): void {
    if (waits !== value) calls.fd_fdstat_set_flags(stdin, value ? flags.wait : flags.nonblock);
    waits = value;
  }

  /** -1 for nothing. An error is left to a read that waits: it has it too, or the next request. */
  function look(): number {
    setWaits(false);
    const end = now() + lookMs;
    let result: number;
    do result = calls.fd_read(stdin, vectorAt, 1, countAt);
    while (result === errno.again && now() < end);
    return result === errno.success ? numbers.getUint32(countAt, true) : -1;
  }

  function wait(): number {
    setWaits(true);
    const begun = now();
    const length = fs.readSync(fd, request, 0, requestBytes, null);
    const waited = now() - begun;
    evidence = waited > asleep.leastMs && waited < asleep.mostMs ? evidence + 1 : 0;
    return length;
  }

  return {
    request,
    read() {
      if (evidence < wanted) return wait();
      const length = found < mostFound ? look() : -1;
      if (length >= 0) {
        found += 1;
        return length;
      }
      const hasPaid = found >= evidenceWanted.least;
      wanted = hasPaid ? evidenceWanted.least : Math.min(2 * wanted, evidenceWanted.most);
      evidence = hasPaid ? wanted - 1 : 0;
      found = 0;
      return wait();
    },
    write: (from, length) => void fs.writeSync(fd, from, 0, length, null),
  };
}
