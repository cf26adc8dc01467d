import { LamellaError } from "@lamella/refs";
import { CommanderError } from "commander";

/** The command's exit statuses: fixed, so that scripts can rely on them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  auth: 4,
  verification: 5,
  network: 6,
  noSpace: 7,
  busy: 8,
} as const;

/** Ends the command by a signal, with the status that a shell would report. */
export class Interrupted extends Error {
  readonly status: number;

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(`interrupted by ${signal}`);
    this.status = signal === "SIGINT" ? 130 : 143;
  }
}

const BY_CODE: Readonly<Record<string, number>> = {
  digest_unsupported: EXIT.verification,
  platform_invalid: EXIT.usage,
  option_invalid: EXIT.usage,
  address_invalid: EXIT.usage,
  name_ambiguous: EXIT.usage,
  ambiguous: EXIT.usage,
  name_invalid: EXIT.usage,
  source_invalid: EXIT.usage,
  source_unsupported: EXIT.usage,
  invalid_argument: EXIT.usage,
  reference_empty: EXIT.usage,
  reference_format: EXIT.usage,
  reference_uppercase: EXIT.usage,
  reference_too_long: EXIT.usage,
  reference_tag: EXIT.usage,
  not_found: EXIT.notFound,
  platform_unavailable: EXIT.notFound,
  config_invalid: EXIT.usage,
  unauthorized: EXIT.auth,
  credentials_invalid: EXIT.auth,
  helper_failed: EXIT.auth,
  denied: EXIT.auth,
  digest_invalid: EXIT.verification,
  digest_mismatch: EXIT.verification,
  size_mismatch: EXIT.verification,
  document_invalid: EXIT.verification,
  document_too_large: EXIT.verification,
  not_image: EXIT.verification,
  tree_invalid: EXIT.verification,
  disk_invalid: EXIT.verification,
  tar_invalid: EXIT.verification,
  layer_invalid: EXIT.verification,
  layer_limit: EXIT.verification,
  compression_invalid: EXIT.verification,
  archive_invalid: EXIT.verification,
  toc_invalid: EXIT.verification,
  toc_mismatch: EXIT.verification,
  layer_mismatch: EXIT.verification,
  layout_invalid: EXIT.verification,
  store_invalid: EXIT.verification,
  database_invalid: EXIT.verification,
  too_large: EXIT.verification,
  snapshot_invalid: EXIT.verification,
  network: EXIT.network,
  unavailable: EXIT.network,
  range_unusable: EXIT.network,
  timeout: EXIT.network,
  rate_limited: EXIT.network,
  no_space: EXIT.noSpace,
  quota_exceeded: EXIT.noSpace,
  busy: EXIT.busy,
};

const NO_SPACE = new Set(["ENOSPC", "EDQUOT", "no_space"]);

export function exitStatus(error: unknown): number {
  if (error instanceof Interrupted) return error.status;
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && typeof cause.code === "string" && NO_SPACE.has(cause.code)) return EXIT.noSpace;
  }
  if (!(error instanceof LamellaError)) return EXIT.failure;
  // A registry that cannot be reached may be there later; a file that cannot be opened is another matter.
  if (error.name === "DatabaseError" && error.code === "unavailable") return EXIT.failure;
  return BY_CODE[error.code] ?? EXIT.failure;
}
