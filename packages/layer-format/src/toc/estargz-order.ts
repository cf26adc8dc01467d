import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { LayerEntry } from "../layer.js";
import { cleanPath } from "../tar/path.js";
import { fileName } from "../tar/plan.js";
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from "./layout.js";
import { NO_XATTRS } from "../merge/inode.js";

export interface OrderedEntries {
  /** The landmark among them. */
  readonly entries: readonly LayerEntry[];
  /** Prioritised files that the layer does not have. */
  readonly missingFiles: readonly string[];
}

const RESERVED: ReadonlySet<string> = new Set([TOC_NAME, PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK]);

/**
 * A layer's entries as an eStargz layer has them: the prioritised files in their order, each after its parents and the target of its
 * hard link, then the landmark, then the others in theirs. Of entries of one name the last stays, as it would when unpacked; a table
 * and landmarks of an earlier conversion are left out.
 *
 * @param prioritizedFiles paths as byte strings, of any form.
 * @throws {LayerFormatError} `layer_invalid` for a hard link whose target the layer does not have before it: the format cannot say that.
 */
export function orderEntries(entries: readonly LayerEntry[], prioritizedFiles: readonly string[]): OrderedEntries {
  const kept = lastOfEachName(entries);
  const first = new Set<LayerEntry>();
  const missingFiles = prioritizedFiles.filter((file) => !addWithNeeds(cleanPath(file), kept, first));
  const landmark = landmarkEntry(prioritizedFiles.length > 0 ? PREFETCH_LANDMARK : NO_PREFETCH_LANDMARK);
  const rest = [...kept.values()].filter((entry) => !first.has(entry));
  const ordered = [...first, landmark, ...rest];
  checkHardLinks(ordered);
  return { entries: ordered, missingFiles };
}

/** Whether it is the one that marks where the files that are wanted first end. */
export function isLandmark({ path }: LayerEntry): boolean {
  return path === PREFETCH_LANDMARK || path === NO_PREFETCH_LANDMARK;
}

function lastOfEachName(entries: readonly LayerEntry[]): Map<string, LayerEntry> {
  const kept = new Map<string, LayerEntry>();
  for (const entry of entries) {
    const name = cleanPath(fileName(entry));
    if (RESERVED.has(name)) continue;
    // Deleted first, so that it takes the later place.
    kept.delete(name);
    kept.set(name, entry);
  }
  return kept;
}

/** Adds a file after what it needs; false if the layer does not have it. */
function addWithNeeds(path: string, kept: ReadonlyMap<string, LayerEntry>, first: Set<LayerEntry>): boolean {
  const chain = new Map<string, LayerEntry>();
  let at = path;
  for (let entry = kept.get(at); entry !== undefined && !chain.has(at); entry = kept.get(at)) {
    chain.set(at, entry);
    if (entry.kind === "hardlink") at = cleanPath(entry.linkTarget);
  }
  // Links after what they lead to.
  for (const [name, entry] of [...chain].reverse()) {
    addParents(name, kept, first);
    first.add(entry);
  }
  return chain.size > 0;
}

function addParents(path: string, kept: ReadonlyMap<string, LayerEntry>, first: Set<LayerEntry>): void {
  if (path === "") return;
  for (let slash = 0; slash >= 0; slash = path.indexOf("/", slash + 1)) {
    const parent = kept.get(path.slice(0, slash));
    if (parent !== undefined) first.add(parent);
  }
}

function landmarkEntry(path: string): LayerEntry {
  return {
    path,
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: NO_XATTRS,
    size: 1,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    contentOffset: 0,
  };
}

function checkHardLinks(entries: readonly LayerEntry[]): void {
  const files = new Set<string>();
  for (const entry of entries) {
    const { kind, path } = entry;
    if (kind === "hardlink" && !files.has(cleanPath(entry.linkTarget))) {
      const rule = `the target of the hard link, "${displayPath(entry.linkTarget)}", is not a file before it in the layer`;
      throw new LayerFormatError("layer_invalid", `cannot write eStargz entry "${displayPath(path)}": ${rule}`);
    }
    if (kind !== "directory" && kind !== "whiteout" && kind !== "opaque") files.add(path);
  }
}
