/** Where the verdict of umoci 0.4.7 is not ours, and why. */
export const UMOCI_DIFFERENCES: ReadonlyMap<string, string> = new Map([
  [
    "51-a-global-header-s-path-and-size-are-passed-over",
    "umoci takes a global header for an entry of unknown type; Go's reader gives it to its caller, containerd passes over it",
  ],
  [
    "56-a-tar-cut-off-in-the-padding-is-refused",
    "Go lets the padding of the last entry be missing; such a layer has been cut off, and no tool writes one",
  ],
  [
    "63-a-uid-of-1-is-refused",
    "Go takes any number; for chown(2) -1 means that the owner stays, so that the file would be the unpacker's",
  ],
  ["63-a-uid-of-2-33-is-refused", "Go takes any number; the kernel takes its low 32 bits, which make the owner root"],
  ["63-a-gid-of-2-32-1-is-refused", "as for the uid of -1, which it is in 32 bits"],
  [
    "64-hard-links-that-gather-extended-attributes-are-refused-at-the-same-limit",
    "umoci asks the file system, which may or may not have room; our limit is the same everywhere",
  ],
]);
