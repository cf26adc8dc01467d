import { link, lstat, open, utimes } from "node:fs/promises";

import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { checkoutPath, type CheckoutScan, nameState } from "./checkout-scan.js";

const NS_PER_SECOND = 1e9;

/**
 * Makes an empty file for each name that an ordinary user cannot make, a device as a rule, so that it can be kept, renamed and removed; names of
 * one inode are links. The scan is brought up to date.
 */
export async function addPlaceholders(
  tree: FileTree,
  { target, scan }: { target: string; scan: CheckoutScan },
  { signal }: CallOptions,
): Promise<void> {
  const firstNames = new Map<number, string>();
  const changed = new Set<string>();
  for await (const { path, inode, mode } of tree.entries({ signal })) {
    if (scan.has(path)) continue;
    const place = checkoutPath(target, path);
    const first = firstNames.get(inode);
    if (first === undefined) await (await open(place, "wx", mode & 0o777)).close();
    else await link(checkoutPath(target, first), place);
    firstNames.set(inode, first ?? path);
    scan.set(path, nameState(await lstat(place, { bigint: true })));
    if (first !== undefined) scan.set(first, nameState(await lstat(place, { bigint: true })));
    changed.add(path.slice(0, Math.max(path.lastIndexOf("/"), 0)));
  }
  for (const path of changed) {
    const place = checkoutPath(target, path);
    const entry = await tree.lookup(path, { signal });
    if (entry === undefined) continue;
    const seconds = entry.mtimeSeconds + entry.mtimeNanoseconds / NS_PER_SECOND;
    await utimes(place, seconds, seconds);
    const { mode } = scan.get(path) ?? nameState(await lstat(place, { bigint: true }));
    // What was opened to be looked at is closed again with the mode that it had.
    scan.set(path, { ...nameState(await lstat(place, { bigint: true })), mode });
  }
}
