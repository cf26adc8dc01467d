import type { CallOptions } from "@lamella/refs";

import type { Access, AccessAction } from "./access.js";
import { equalSecrets } from "./secret-comparison.js";

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** One action on one thing. */
export interface Permission {
  readonly type: "repository" | "registry";
  readonly name: string;
  readonly action: AccessAction;
}

/** Who there is, and what they may do. */
export interface Accounts {
  /** Whether these are the name and the password of somebody. What it takes must not tell which of the two is wrong. */
  knows(login: Login, options?: CallOptions): Promise<boolean>;
  /** Whether somebody may do that; `undefined` is whoever does not say who they are. */
  permits(username: string | undefined, permission: Permission): boolean;
}

/** Whether somebody may do all of that; to show who they are is all that `undefined` wants. */
export function permitsAll(accounts: Accounts, username: string | undefined, wanted: Access | undefined): boolean {
  if (wanted === undefined) return true;
  const { type, name, actions } = wanted;
  return actions.every((action) => accounts.permits(username, { type, name, action }));
}

export interface Account extends Login {
  /** In every repository; all if not given. Who may pull may also read the catalog. */
  readonly actions?: readonly ("pull" | "push" | "delete")[];
}

export interface StaticAccountsOptions {
  /** What everybody may do without a name; nothing if not given. */
  readonly anonymous?: readonly ("pull" | "push" | "delete")[];
}

/** Accounts that are known beforehand, with the same rights in every repository. */
export function staticAccounts(accounts: readonly Account[], options: StaticAccountsOptions = {}): Accounts {
  const all = ["pull", "push", "delete"] as const;
  const actionsOf = new Map(accounts.map(({ username, actions = all }) => [username, actions]));
  const { anonymous = [] } = options;
  return {
    async knows({ username, password }, { signal } = {}) {
      signal?.throwIfAborted();
      let known = false;
      for (const account of accounts) {
        const isName = await equalSecrets(username, account.username);
        const isPassword = await equalSecrets(password, account.password);
        if (isName && isPassword) known = true;
      }
      return known;
    },
    permits(username, { action }) {
      const actions = username === undefined ? anonymous : (actionsOf.get(username) ?? []);
      return actions.includes(action === "*" ? "pull" : action);
    },
  };
}
