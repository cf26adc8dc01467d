import { isAbsolute } from "node:path";

import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { Mount } from "../mount.js";
import type { ArchiveStack } from "./tree-driver-archives.js";

/** What a mount of type `checkout` says. */
export interface CheckoutSource extends ArchiveStack {
  readonly isWritable: boolean;
}

const TYPE = "checkout";
const PARENT = "parent=";

/** A checkout of a snapshot of layer archives as data: its directory, and the directories of its parents as options, the base first. */
export function checkoutMount({
  directory,
  parents,
  kind,
}: ArchiveStack & { readonly kind: "active" | "view" | "committed" }): Mount {
  const access = kind === "active" ? "rw" : "ro";
  return { type: TYPE, source: directory, options: [access, ...parents.map((parent) => PARENT + parent)] };
}

/** @throws {SnapshotError} `unsupported` for mounts of another type; `invalid_argument` for a checkout that says something else */
export function readCheckoutMount(mounts: readonly Mount[]): CheckoutSource {
  const [mount] = mounts;
  if (mount === undefined || mounts.length > 1 || mount.type !== TYPE) {
    const types = mounts.map(({ type }) => type).join(", ");
    throw new SnapshotError("unsupported", `cannot check out mounts of type ${quote(types)}: one checkout is needed`);
  }
  const { source, options } = mount;
  const access = options.filter((option) => option === "rw" || option === "ro");
  const parents = options.filter((option) => option.startsWith(PARENT)).map((option) => option.slice(PARENT.length));
  const isWhole = access.length === 1 && access.length + parents.length === options.length;
  if (!isWhole || ![source, ...parents].every((path) => isAbsolute(path))) {
    throw new SnapshotError(
      "invalid_argument",
      `cannot check out ${quote(source)}: its options are not those of a checkout`,
    );
  }
  return { directory: source, parents, isWritable: access[0] === "rw" };
}
