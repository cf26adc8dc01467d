import type { Image } from "../api/types.js";

const DEFAULT = /^docker\.io\/(library\/)?/;

/** The name as people say it: `alpine:3.20` for `docker.io/library/alpine:3.20`. */
export function shortName(name: string): string {
  return name.replace(DEFAULT, "");
}

export function shortDigest(digest: string): string {
  return digest.replace(/^([^:]+:)?([0-9a-f]{12}).*$/, "$2");
}

/** A name for the file that a disk is kept in: nothing that a shell or a file system makes something else of. */
export function diskFileName({ name, format }: Pick<Image, "name" | "format">, index: number, of: number): string {
  const stem =
    shortName(name)
      .replace(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^[-.]+/, "") || "image";
  return `${stem}${of > 1 ? `.${index}` : ""}.${format === "erofs-layers" ? "erofs" : format}`;
}
