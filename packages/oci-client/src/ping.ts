import type { CallOptions } from "@lamella/refs";

import { discard } from "./body.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";

/** Asks the registry's root (distribution-spec, "Determining Support"), with the credentials that it wants. */
export async function pingRegistry(session: Session, { signal }: CallOptions): Promise<void> {
  const ping = async (): Promise<void> => {
    const target = new URL("/v2/", session.registry);
    const request = { method: "GET", target, verb: "use the API", access: "pull", statuses: [200], signal } as const;
    await discard((await session.send(request)).body);
  };
  await retry(session.context.retry, ping, { signal });
}
