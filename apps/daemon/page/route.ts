import type { Format, ImageRef } from "./api/types.js";

/** What the page shows, as the part of its address behind `#`. */
export type Route =
  | { readonly view: "images" }
  | ({ readonly view: "image" } & ImageRef)
  | { readonly view: "queue" }
  | { readonly view: "usage" }
  | { readonly view: "unknown" };

export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...rest] = path.split("/");
  if (view === "" || (view === "images" && rest.length === 0)) return { view: "images" };
  if (rest.length === 0 && (view === "queue" || view === "usage")) return { view };
  const parameters = new URLSearchParams(search);
  const name = view === "images" && rest.length === 1 ? decoded(rest[0] ?? "") : undefined;
  const [platform, format] = [parameters.get("platform"), parameters.get("format")];
  if (name === undefined || platform === null || format === null) return { view: "unknown" };
  return { view: "image", name, platform, format: format as Format };
}

export function imageRoute({ name, platform, format }: ImageRef): string {
  return `#/images/${encodeURIComponent(name)}?${new URLSearchParams({ platform, format }).toString()}`;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
