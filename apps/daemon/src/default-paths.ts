import { join } from "node:path";

import { DaemonError } from "./errors.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The store: `LAMELLA_ROOT`, else `lamella` in the XDG data directory. Throws `directory_unset`. */
export function defaultRoot(env: Environment): string {
  const { LAMELLA_ROOT: root, XDG_DATA_HOME: data, HOME: home } = env;
  if (isSet(root)) return root;
  if (isSet(data)) return join(data, "lamella");
  if (isSet(home)) return join(home, ".local", "share", "lamella");
  throw new DaemonError("directory_unset", "cannot find the store: HOME is not set; give --root");
}

/** The socket: `lamella/lamellad.sock` in the XDG runtime directory, which only its user can enter. Throws `directory_unset`. */
export function defaultListen(env: Environment): string {
  const { XDG_RUNTIME_DIR: runtime } = env;
  if (isSet(runtime)) return `unix:${join(runtime, "lamella", "lamellad.sock")}`;
  throw new DaemonError("directory_unset", "cannot choose a socket: XDG_RUNTIME_DIR is not set; give --listen");
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}
