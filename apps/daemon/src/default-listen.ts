import { join } from "node:path";

import { DaemonError } from "./errors.js";

/** The socket: `lamella/lamellad.sock` in the XDG runtime directory, which only its user can enter. Throws `directory_unset`. */
export function defaultListen({ XDG_RUNTIME_DIR: runtime }: Readonly<Record<string, string | undefined>>): string {
  if (runtime) return `unix:${join(runtime, "lamella", "lamellad.sock")}`;
  throw new DaemonError("directory_unset", "cannot choose a socket: XDG_RUNTIME_DIR is not set; give --listen");
}
