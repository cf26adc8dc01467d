import type { Digest } from "@lamella/refs";

import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { LayerEntry } from "../layer.js";
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from "../limits.js";
import { cleanPath } from "../tar/path.js";
import type { Refuse } from "../tar/refusal.js";
import { createChunkList } from "./chunks.js";
import { readTocEntry, readTocPath } from "./entry.js";
import { isRawEntry, type RawTocEntry, tocNumber, tocText } from "./fields.js";
import { NO_PREFETCH_LANDMARK, PREFETCH_LANDMARK, TOC_NAME } from "./layout.js";
import { createNameSet } from "./name-set.js";
import { scanToc } from "./scanner.js";
import type { LayerToc, TocFormat } from "./toc.js";

export interface TocLimits extends LayerLimits {
  /** Bytes of one chunk: it is verified in memory. */
  readonly chunkBytes: number;
}

export const DEFAULT_TOC_LIMITS: TocLimits = { ...DEFAULT_LAYER_LIMITS, chunkBytes: 64 * 2 ** 20 };

export interface TocDocument {
  readonly json: Uint8Array;
  /** Of `json`. */
  readonly digest: Digest;
  readonly format: TocFormat;
  readonly isVouchedFor: boolean;
  /** Where the blob's data ends. */
  readonly dataEnd: number;
  readonly limits: TocLimits;
}

/**
 * Reads and validates the JSON of a table of contents.
 * @throws {LayerFormatError} `toc_invalid`, `layer_invalid` for a bad whiteout, `layer_limit`, naming entry and rule.
 */
export function readTocDocument({ json, dataEnd, limits, ...about }: TocDocument): LayerToc {
  const reader = new TocReader(about.format, dataEnd, limits);
  scanToc(json, {
    version(version) {
      if (version !== 1) reader.refuse("toc_invalid", "its version is not 1");
    },
    entry: (entry) => reader.add(entry),
  });
  return { ...reader.finish(), ...about };
}

class TocReader {
  readonly #format: TocFormat;
  readonly #limits: TocLimits;
  readonly #chunks: ReturnType<typeof createChunkList>;
  readonly #entries: LayerEntry[] = [];
  readonly #names = createNameSet();
  #name: string | undefined;
  #contentsBytes = 0;
  #metadataBytes = 0;
  #prefetchBytes: number | undefined;

  constructor(format: TocFormat, dataEnd: number, limits: TocLimits) {
    this.#format = format;
    this.#limits = limits;
    this.#chunks = createChunkList({ format, dataEnd, chunkBytes: limits.chunkBytes, refuse: this.refuse });
  }

  readonly refuse: Refuse = (code, rule) => {
    const subject = this.#name === undefined ? "" : ` entry "${displayPath(this.#name)}"`;
    throw new LayerFormatError(code, `cannot read the table of contents${subject}: ${rule}`);
  };

  add(raw: unknown): void {
    if (!isRawEntry(raw)) return this.refuse("toc_invalid", "an entry is not an object");
    if (raw.type === "chunk") return this.#chunks.add(raw);
    this.#chunks.end();
    this.#name = undefined;
    const path = readTocPath(raw, this.#limits, this.refuse);
    this.#name = path;
    const entry = readTocEntry(raw, path, this.#contentsBytes, this.#limits, this.refuse);
    if (entry?.kind === "hardlink") this.#checkHardLink(entry);
    if (!this.#names.add(path, isLinkable(entry))) this.refuse("toc_invalid", "its name comes twice");
    if (this.#names.size > this.#limits.entries) {
      this.refuse("layer_limit", `the layer has over ${this.#limits.entries} entries`);
    }
    this.#keep(raw, entry, path);
  }

  finish(): Pick<LayerToc, "entries" | "chunks" | "contentsBytes" | "prefetchBytes"> {
    this.#chunks.end();
    return {
      entries: this.#entries,
      chunks: this.#chunks.chunks,
      contentsBytes: this.#contentsBytes,
      prefetchBytes: this.#prefetchBytes,
    };
  }

  #keep(raw: RawTocEntry, entry: LayerEntry | undefined, path: string): void {
    if (path === TOC_NAME && this.#format === "estargz") this.refuse("toc_invalid", "it lists itself");
    const isLandmark = path === PREFETCH_LANDMARK || path === NO_PREFETCH_LANDMARK;
    const isKept = entry?.kind === "file" && !isLandmark;
    const size = tocText(raw.type, "type", this.refuse) === "reg" ? tocNumber(raw.size, "size", this.refuse) : 0;
    if (size > 0) this.#chunks.begin(raw, size, this.#contentsBytes, isKept);
    if (isLandmark) this.#mark(path, size);
    else if (entry !== undefined) this.#entries.push(entry);
    if (isKept) this.#contentsBytes += size;
    this.#checkTotals(entry);
  }

  #mark(path: string, size: number): void {
    if (path === NO_PREFETCH_LANDMARK) this.#prefetchBytes = 0;
    else if (size > 0) this.#prefetchBytes ??= this.#chunks.position();
  }

  #checkHardLink(entry: LayerEntry): void {
    const target = this.#names.isLinkable(cleanPath(entry.linkTarget));
    if (target === undefined) this.refuse("toc_invalid", "the target of the hard link is not there before it");
    if (!target) this.refuse("toc_invalid", "the target of the hard link is a directory or a whiteout");
  }

  #checkTotals(entry: LayerEntry | undefined): void {
    const { metadataBytes, fileBytes } = this.#limits;
    if (this.#contentsBytes > fileBytes) this.refuse("layer_limit", `the layer's files have over ${fileBytes} bytes`);
    if (entry === undefined) return;
    this.#metadataBytes += entry.path.length + entry.linkTarget.length;
    for (const [name, value] of entry.xattrs) this.#metadataBytes += name.length + value.length;
    if (this.#metadataBytes > metadataBytes)
      this.refuse("layer_limit", `the layer's names have over ${metadataBytes} bytes`);
  }
}

function isLinkable(entry: LayerEntry | undefined): boolean {
  return entry !== undefined && entry.kind !== "directory" && entry.kind !== "whiteout" && entry.kind !== "opaque";
}
