import { digestOf } from "@lamella/refs";
import type { Digest } from "@lamella/refs";

const encoder = new TextEncoder();

/**
 * The chain ID of each layer on its parents, base first: ChainID(L0) = L0, ChainID(L0..Ln) = digest of
 * "ChainID(L0..Ln-1) Ln" over the full digest strings (OCI image-spec, config.md, "Layer ChainID").
 */
export function chainIDs(diffIDs: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffID of diffIDs) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffID : digestOf(encoder.encode(`${parent} ${diffID}`)));
  }
  return chain;
}

/** The chain ID of the whole stack; `undefined` for no layers, which has none. */
export function chainID(diffIDs: readonly Digest[]): Digest | undefined {
  return chainIDs(diffIDs).at(-1);
}
