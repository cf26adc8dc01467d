import { access } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { withDaemon } from "../src/daemon.js";
import { missing, requireTool } from "../src/requirements.js";
import { withScratch } from "./scratch.js";

const reason = missing(["python3"]);
/** Listens on the socket that is its parameter, and says so at its end. */
const LISTENER = `
import signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1] + ".ended", "w").close(), sys.exit()))
signal.pause()
`;

describe.skipIf(reason !== undefined)(`withDaemon() (${reason ?? "with a listener in Python"})`, () => {
  const options = (directory: string, program: string): Parameters<typeof withDaemon>[0] => ({
    program: requireTool("python3"),
    parameters: ["-c", program, join(directory, "sock")],
    socket: join(directory, "sock"),
    log: join(directory, "log"),
  });

  it("gives what the use of it gives, once the daemon answers, and ends it", () =>
    withScratch(async (directory) => {
      const ended = join(directory, "sock.ended");
      const used = withDaemon(options(directory, LISTENER), async () => {
        await expect(access(ended)).rejects.toMatchObject({ code: "ENOENT" });
        return "used";
      });
      expect(await used).toBe("used");
      await access(ended);
    }));

  it("ends the daemon when its use fails", () =>
    withScratch(async (directory) => {
      const failure = new Error("enough");
      await expect(withDaemon(options(directory, LISTENER), () => Promise.reject(failure))).rejects.toBe(failure);
      await access(join(directory, "sock.ended"));
    }));

  it("tells what a program said that does not come up", () =>
    withScratch(async (directory) => {
      const starting = withDaemon(options(directory, "raise SystemExit('no port')"), () => Promise.resolve());
      await expect(starting).rejects.toMatchObject({
        code: "tool_failed",
        message: expect.stringContaining("no port") as string,
      });
    }));

  it("rejects with the reason of a signal that was aborted before, and of one that is while it waits", () =>
    withScratch(async (directory) => {
      const why = new Error("stop");
      const sleeping = options(directory, "import time; time.sleep(60)");
      const never = (): Promise<void> => Promise.reject(new Error("used"));
      await expect(withDaemon({ ...sleeping, signal: AbortSignal.abort(why) }, never)).rejects.toBe(why);
      const controller = new AbortController();
      const waiting = withDaemon({ ...sleeping, signal: controller.signal }, never);
      setTimeout(() => controller.abort(why), 100);
      await expect(waiting).rejects.toBe(why);
    }));
});
