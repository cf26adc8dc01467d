import { query } from "./request.js";
import type { ImageRef } from "./types.js";

/** The path of an image in the API, or of what is below it. */
export function imagePath(
  { name, platform, format }: ImageRef,
  below = "",
  parameters: Parameters<typeof query>[0] = {},
): string {
  return `/images/${encodeURIComponent(name)}${below}${query({ platform, format, ...parameters })}`;
}
