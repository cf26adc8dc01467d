import { displayPath } from "@lamella/layer-format";
import type { Loss } from "@lamella/layer-format";

/** A loss for people: "sockets: lost of /run/a, /run/b and 3 more". */
export function describeLoss({ what, count, paths }: Loss): string {
  const more = count > paths.length ? ` and ${count - paths.length} more` : "";
  return `${what}: lost of ${paths.map((path) => displayPath(`/${path}`)).join(", ")}${more}`;
}
