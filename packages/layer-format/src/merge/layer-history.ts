import type { CallOptions } from "@lamella/refs";

import type { Attributes, Content, FileKind } from "../file-tree.js";
import type { Layer } from "../layer.js";
import { type ChangeLog, directoryOf, leafOf, type Version, versionAt } from "./change-log.js";
import { type Directory, leafEntry, type Leaf, pickAttributes } from "./inode.js";
import { isSameDirectory, type LayerSurvey, type NameChange, surveyLayer } from "./layer-survey.js";
import { type LayerTotals, sumLayers, sumTree } from "./layer-totals.js";
import { mergeLayersLogged, type MergeOptions } from "./merge.js";
import type { LayeredTree } from "./merged-tree.js";

/** A name as a layer leaves it, or as it was before a layer that removed it. */
export interface HistoryEntry extends Attributes, Content {
  readonly path: string;
  readonly kind: FileKind;
  /** By the layer that was asked for; `unchanged` where none was. */
  readonly change: "added" | "changed" | "removed" | "unchanged";
  /** The layer that last brought the name, from 0, the lowest. A directory may hold what others have brought. */
  readonly layer: number;
  /**
   * Of a directory, the data of the files below: all of it; or, in the changes of a layer, what the layer has brought there, and for a removed directory what it
   * had. A file of several names counts at the first of those, holes not at all. Of a file, its size.
   */
  readonly totalBytes: number;
}

/** What layers make together, and what each has to do with it. The tree is its own: closing it closes the layers. */
export interface LayerHistory extends AsyncDisposable {
  readonly tree: LayeredTree;
  /** Base first. */
  readonly layers: readonly LayerTotals[];
  /**
   * What is in a directory, in byte order; with `layer`, what that layer changes there, which for a directory is anything below it too. A path is exact: no symlink
   * is followed. Undefined where there is no directory of this path: in the finished tree, or before the layer and after it.
   * @throws {RangeError} for a layer that there is not
   */
  list(path: string, options?: ListOptions): Promise<HistoryEntry[] | undefined>;
  /** One name, as `list` would give it among others; undefined where it would not. */
  find(path: string, options?: HistoryOptions): Promise<HistoryEntry | undefined>;
}

export interface HistoryOptions extends CallOptions {
  layer?: number | undefined;
}

export interface ListOptions extends HistoryOptions {
  /** Only names after this one. */
  after?: string | undefined;
  /** At most so many. */
  limit?: number | undefined;
}

/**
 * Merges layers as `mergeLayers` does, the lowest first, and tells what each adds, changes, removes and wastes. What is remembered of each layer is what it touches, so
 * memory and time are bounded by the layers' entries, however many layers there are. No bytes are read.
 *
 * If this rejects, the layers are still the caller's to close.
 * @throws {LayerFormatError} as `mergeLayers` does
 */
export async function traceLayers(layers: readonly Layer[], options: MergeOptions = {}): Promise<LayerHistory> {
  const { tree, root, log } = await mergeLayersLogged(layers, options);
  return new MergedHistory({ tree, root, log, layers: await sumLayers(log, root, options) });
}

interface HistoryParts {
  readonly tree: LayeredTree;
  readonly root: Directory;
  readonly log: ChangeLog;
  readonly layers: readonly LayerTotals[];
}

/** The names of one directory, before a layer and after it; the same where no layer was asked for. */
interface DirectoryView {
  readonly before: Directory | undefined;
  readonly after: Directory | undefined;
}

/** A survey takes memory by the directories through which one comes to what its layer touches. */
const SURVEYS_MAX = 8;

class MergedHistory implements LayerHistory {
  readonly tree: LayeredTree;
  readonly layers: readonly LayerTotals[];
  readonly #root: Directory;
  readonly #log: ChangeLog;
  /** Of the layers that were asked for last, the latest at the end: who looks at one directory of it looks at the next too. */
  readonly #surveys = new Map<number, LayerSurvey>();
  #sums: ReadonlyMap<Directory, number> | undefined;
  #closed = false;

  constructor({ tree, root, log, layers }: HistoryParts) {
    this.tree = tree;
    this.layers = layers;
    this.#root = root;
    this.#log = log;
  }

  async list(path: string, options: ListOptions = {}): Promise<HistoryEntry[] | undefined> {
    const { layer, after = "", limit = Number.POSITIVE_INFINITY } = options;
    this.#check(options);
    const directory = this.#directory(path, layer);
    if (directory === undefined) return undefined;
    const prefix = path === "" ? "" : `${path}/`;
    const entries: HistoryEntry[] = [];
    for (const change of this.#changes(directory, layer)) {
      if (entries.length >= limit) break;
      const entry = change.name > after ? this.#entry(prefix, change, layer) : undefined;
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  async find(path: string, { layer, signal }: HistoryOptions = {}): Promise<HistoryEntry | undefined> {
    this.#check({ layer, signal });
    const slash = path.lastIndexOf("/");
    const prefix = path.slice(0, slash + 1);
    const parent = this.#directory(path.slice(0, Math.max(slash, 0)), layer);
    const change = parent && this.#change(parent, path.slice(slash + 1), layer);
    return change && this.#entry(prefix, change, layer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.tree[Symbol.asyncDispose]();
  }

  #check({ layer, signal }: HistoryOptions): void {
    signal?.throwIfAborted();
    if (this.#closed) throw new Error("cannot use the history of layers: it is closed");
    const isThere = layer === undefined || (Number.isInteger(layer) && layer >= 0 && layer < this.layers.length);
    if (!isThere) throw new RangeError(`cannot look at layer ${layer}: there are ${this.layers.length}`);
  }

  #directory(path: string, layer: number | undefined): DirectoryView | undefined {
    let view: DirectoryView = { before: this.#root, after: this.#root };
    if (path === "") return view;
    for (const name of path.split("/")) {
      const change = this.#change(view, name, layer);
      view = { before: directoryOf(change?.before), after: directoryOf(change?.after) };
      if (view.before === undefined && view.after === undefined) return undefined;
    }
    return view;
  }

  #change({ before, after }: DirectoryView, name: string, layer: number | undefined): NameChange | undefined {
    const last = layer ?? this.layers.length - 1;
    const now = after && versionAt(this.#log, after, name, last);
    const old = layer === undefined ? now : before && versionAt(this.#log, before, name, layer - 1);
    return old === undefined && now === undefined ? undefined : { name, before: old, after: now };
  }

  #changes(view: DirectoryView, layer: number | undefined): NameChange[] {
    if (layer !== undefined) return this.#survey(layer).changesIn(view.before, view.after);
    const names = [...(view.after?.children.keys() ?? [])];
    return names.flatMap((name) => this.#change(view, name, layer) ?? []);
  }

  #survey(layer: number): LayerSurvey {
    const survey = this.#surveys.get(layer) ?? surveyLayer(this.#log, layer, this.#root);
    this.#surveys.delete(layer);
    this.#surveys.set(layer, survey);
    const [oldest] = this.#surveys.keys();
    if (this.#surveys.size > SURVEYS_MAX && oldest !== undefined) this.#surveys.delete(oldest);
    return survey;
  }

  /** Undefined for what the layer does not change. */
  #entry(prefix: string, change: NameChange, layer: number | undefined): HistoryEntry | undefined {
    const version = change.after ?? change.before;
    if (version === undefined) return undefined;
    const path = prefix + change.name;
    const directory = directoryOf(version);
    const how = layer === undefined ? "unchanged" : this.#howChanged(change, layer);
    if (how === undefined) return undefined;
    const shown = { path, change: how, layer: version.layer };
    if (directory === undefined) return { ...leafFields(version), ...shown };
    return { ...directoryFields(version, this.#bytesBelow(directory, how, layer)), ...shown };
  }

  #howChanged(change: NameChange, layer: number): HistoryEntry["change"] | undefined {
    const { before, after } = change;
    if (after === undefined) return "removed";
    if (before === undefined) return "added";
    const directory = directoryOf(after);
    if (directory === undefined) return before.inode === after.inode ? undefined : "changed";
    const isChanged = this.#survey(layer).directories.get(directory)?.isChanged === true;
    return isChanged || !isSameDirectory(change) ? "changed" : undefined;
  }

  #bytesBelow(directory: Directory, how: HistoryEntry["change"], layer: number | undefined): number {
    if (layer === undefined) return (this.#sums ??= sumTree(this.#root)).get(directory) ?? 0;
    const survey = this.#survey(layer).directories.get(directory);
    return (how === "removed" ? survey?.removedBytes : survey?.broughtBytes) ?? 0;
  }
}

type EntryFields = Omit<HistoryEntry, "path" | "change" | "layer">;

function leafFields(version: Version): EntryFields {
  const leaf = leafOf(version) as Leaf;
  const { kind, size, linkTarget, deviceMajor, deviceMinor, extents } = leafEntry("", leaf, 0);
  const fields = { kind, size, linkTarget, deviceMajor, deviceMinor, totalBytes: size };
  const content = extents === undefined ? fields : { ...fields, extents };
  return { ...pickAttributes(version.attributes), ...content };
}

function directoryFields({ attributes }: Version, totalBytes: number): EntryFields {
  const none = { size: 0, linkTarget: "", deviceMajor: 0, deviceMinor: 0 };
  return { ...pickAttributes(attributes), ...none, kind: "directory", totalBytes };
}
