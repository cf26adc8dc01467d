import { homedir } from "node:os";
import { join } from "node:path";

/** Where the store is unless somebody says otherwise: `LAMELLA_ROOT`, else `lamella` in the user's XDG data directory. */
export function defaultStoreDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  const { LAMELLA_ROOT: root, XDG_DATA_HOME: data, HOME: home } = environment;
  if (root) return root;
  return join(data || join(home || homedir(), ".local/share"), "lamella");
}
