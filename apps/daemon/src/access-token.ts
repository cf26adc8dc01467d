import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { DaemonError } from "./errors.js";

/** What RFC 6750 (section 2.1) lets a client send; short ones could be guessed. */
const TOKEN = /^[\w.~+/-]{16,1024}=*$/;
const MADE_BYTES = 32;
const FILE_NAME = "lamellad.token";

/** The token of a file, its first line, or of a variable; `undefined` if neither is given. Throws `token_invalid`. */
export async function readToken(file: string | undefined, variable: string | undefined): Promise<string | undefined> {
  if (file === undefined) return variable === undefined ? undefined : checked(variable.trim(), "$LAMELLAD_TOKEN");
  return readTokenFile(file);
}

/** The token that a store has, made the first time. @returns it, and the file that it is in, mode 0600 */
export async function keepToken(root: string): Promise<{ token: string; file: string }> {
  const file = join(root, FILE_NAME);
  await mkdir(root, { recursive: true });
  const made = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    const handle = await open(made, "wx", 0o600);
    try {
      await handle.writeFile(`${randomBytes(MADE_BYTES).toString("base64url")}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // of several daemons that begin together, one makes it
    await link(made, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(made, { force: true });
  }
  return { token: await readTokenFile(file), file };
}

async function readTokenFile(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new DaemonError("token_invalid", `cannot read the token: ${error.message}`, { cause: error });
  });
  return checked((text.split("\n")[0] ?? "").trim(), file);
}

function checked(token: string, source: string): string {
  if (TOKEN.test(token)) return token;
  const state = "a token has at least 16 letters, digits or any of -._~+/";
  throw new DaemonError("token_invalid", `cannot use the token of ${source}: ${state}`);
}
