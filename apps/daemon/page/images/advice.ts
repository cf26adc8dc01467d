const ADVICE: Readonly<Record<string, string>> = {
  not_found: "Look at how the name and the tag are written, then ask for it again.",
  unauthorized: "Log in to the registry where the daemon runs (lamella login), then ask for it again.",
  denied: "The account that the daemon has may not read this image: log in with one that may.",
  rate_limited: "The registry asks for patience: ask for it again later, or log in where the daemon runs.",
  unavailable: "The registry has trouble: ask for it again later.",
  network: "The registry cannot be reached from the daemon: look at the host and the network, then ask for it again.",
  timeout: "The registry was too slow: ask for it again.",
  insecure: "The registry speaks plain HTTP: allow that for its host in the daemon's settings.",
  platform_unavailable: "The image does not exist for this platform: create it for another one.",
  no_space: "The file system is full: free some under Usage, then ask for it again.",
  quota_exceeded: "The store's quota is used up: free some under Usage, or raise the quota, then ask for it again.",
  too_many_files: "The daemon has too many files open: raise its limit, or ask for it again later.",
  io_failed: "The daemon's storage has failed: look at its logs before anything else.",
  not_image: "The name stands for something that is no container image.",
  digest_mismatch: "The registry sent other bytes than it promised: ask for it again, or ask those who run it.",
  store_invalid: "The store is damaged: check it under Usage.",
};

/** What a person may do about a build that has failed, by the error's code. */
export function adviceFor(code: string | null): string {
  return ADVICE[code ?? ""] ?? "If it is worth another try, ask for it again.";
}
