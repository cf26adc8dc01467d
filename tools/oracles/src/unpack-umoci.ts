import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import type { LayoutImage } from "./layout-image.js";

/**
 * Unpacks an image's root file system into the new directory `target` with umoci, as root.
 *
 * What umoci is known to get wrong is in the README of this package and in `umociDifferences`.
 */
export async function unpackWithUmoci(
  image: LayoutImage & { target: string },
  options: CallOptions = {},
): Promise<void> {
  const parameters = ["raw", "unpack", "--image", `${image.layout}:${image.tag}`, image.target];
  await runCommand("umoci", parameters, { accept: [0], signal: options.signal });
}
