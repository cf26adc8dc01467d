import { type CallOptions, MAX_DOCUMENT_BYTES, MAX_LAYERS, quote } from "@lamella/refs";

import type { ArchiveMembers } from "./archive-members.js";
import { OciClientError } from "./errors.js";

/** One image of `manifest.json` in an archive of `docker save` (Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format"). */
export interface DockerArchiveImage {
  /** The member that is the config. */
  readonly config: string;
  /** `alpine:3.20`, as they stand there. */
  readonly repoTags: readonly string[];
  /** The members that are the layers, base first. */
  readonly layers: readonly string[];
}

/** Docker's own name for the list of an archive's images. */
export const MANIFEST_JSON = "manifest.json";

/** @throws {OciClientError} `archive_invalid`, `too_large` */
export async function readDockerManifest(
  members: ArchiveMembers,
  options: CallOptions,
): Promise<readonly DockerArchiveImage[]> {
  if (!members.has(MANIFEST_JSON)) {
    const state = members.has("repositories")
      ? "it was written by Docker before 1.10, which is not read"
      : `it has no ${MANIFEST_JSON}`;
    throw invalid(members, state);
  }
  const bytes = await members.readSmall(MANIFEST_JSON, MAX_DOCUMENT_BYTES, options);
  let images: unknown;
  try {
    images = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(members, `${MANIFEST_JSON} is not JSON in UTF-8`, error);
  }
  if (!Array.isArray(images) || images.length === 0) throw invalid(members, `${MANIFEST_JSON} lists no images`);
  return images.map((image) => toImage(members, image));
}

function toImage(members: ArchiveMembers, image: unknown): DockerArchiveImage {
  const fields = new Map(Object.entries(typeof image === "object" && image !== null ? image : {}));
  const config: unknown = fields.get("Config");
  const repoTags: unknown = fields.get("RepoTags") ?? [];
  const layers: unknown = fields.get("Layers") ?? [];
  if (typeof config !== "string" || !isStrings(repoTags) || !isStrings(layers)) {
    throw invalid(members, `${MANIFEST_JSON} has an image without config, or with odd tags or layers`);
  }
  if (layers.length > MAX_LAYERS)
    throw invalid(members, `an image has ${layers.length} layers, the limit is ${MAX_LAYERS}`);
  return { config, repoTags, layers };
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

export function invalid(members: ArchiveMembers, state: string, cause?: unknown): OciClientError {
  return new OciClientError("archive_invalid", `cannot read archive ${quote(members.path)}: ${state}`, { cause });
}
