import type { Authorize } from "./access.js";
import { permitsAll } from "./accounts.js";
import type { Accounts } from "./accounts.js";
import { parseBasic } from "./basic-login.js";
import { challengeOf } from "./challenge.js";

export interface BasicAuthorityOptions {
  readonly accounts: Accounts;
  /** What clients show who they ask for a password. */
  readonly realm: string;
}

/** Takes a name and a password with every request (RFC 7617). What nobody in particular may do, needs none. */
export function createBasicAuthority({ accounts, realm }: BasicAuthorityOptions): Authorize {
  return async (request, wanted) => {
    const login = parseBasic(request.headers.get("authorization"));
    const isKnown = login !== undefined && (await accounts.knows(login, request));
    const username = isKnown ? login.username : undefined;
    const isStranger = !isKnown && (login !== undefined || wanted === undefined);
    if (!isStranger && permitsAll(accounts, username, wanted)) return undefined;
    return isKnown ? { code: "denied" } : { code: "unauthorized", challenge: challengeOf("Basic", { realm }) };
  };
}
