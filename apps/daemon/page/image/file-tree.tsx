import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import type { FileEntry, ImageRef } from "../api/types.js";
import { byteSize } from "../format/byte-size.js";
import { fileMode } from "../format/file-mode.js";
import { FileFacts } from "./file-facts.js";
import { actOf, rowsOf } from "./tree-rows.js";
import type { Row, TreeAct } from "./tree-rows.js";
import { useDirectories } from "./use-directories.js";

const SIGNS: Readonly<Record<FileEntry["change"], string>> = { added: "+", changed: "~", removed: "−", unchanged: "" };

export interface FileTreeProps {
  readonly image: ImageRef;
  /** Whose changes are shown; without, the whole image. */
  readonly layer: number | undefined;
}

/** The files as a tree (WAI-ARIA's pattern): one stop of the tab key, arrows within. */
export function FileTree({ image, layer }: FileTreeProps): JSX.Element {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const { directories, load } = useDirectories(image, layer, open);
  const rows = rowsOf(directories, open);
  const [active, setActive] = useState<string>();
  const tree = useRef<HTMLUListElement>(null);
  const takesFocus = useRef(false);
  // a line that goes, as the one that says that something is read, leaves its place to what comes instead
  const lastAt = useRef(0);
  const found = rows.findIndex(({ key }) => key === active);
  const at = found >= 0 ? found : Math.min(lastAt.current, rows.length - 1);
  const current = active === undefined ? undefined : rows[at];

  // asked while the lines are still those of before: what had the focus may be about to go
  const hadFocus = tree.current?.contains(document.activeElement) === true;
  // before the next key comes
  useLayoutEffect(() => {
    lastAt.current = at;
    const line = tree.current?.querySelector<HTMLElement>('[tabindex="0"]');
    if (takesFocus.current || (hadFocus && document.activeElement !== line)) line?.focus();
    takesFocus.current = false;
  });
  const apply = (act: TreeAct): void => {
    if (act.act === "go") setActive(rows[act.to]?.key);
    else if (act.act === "load") {
      load(act.path);
      setActive("");
    } else setOpen(withPath(open, act.path, act.act === "open"));
    takesFocus.current = true;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const act = actOf(rows, at, event.key);
    if (act === undefined) return;
    event.preventDefault();
    apply(act);
  };
  const onClick = (row: Row, index: number): void => {
    setActive(row.key);
    const act = actOf(rows, index, "Enter");
    if (act !== undefined) apply(act);
  };
  return (
    <div class="files">
      <ul
        ref={tree}
        role="tree"
        class="tree"
        aria-label={layer === undefined ? "Files of the image" : `Changes of layer ${layer}`}
        onKeyDown={onKeyDown}
      >
        {rows.map((row, index) => (
          <TreeRow
            key={row.key}
            row={row}
            isCurrent={index === at}
            isActive={index === at && active !== undefined}
            showsLayer={layer === undefined}
            onClick={() => onClick(row, index)}
          />
        ))}
      </ul>
      {current?.kind === "entry" && <FileFacts image={image} layer={layer} entry={current.entry} />}
    </div>
  );
}

interface TreeRowProps {
  readonly row: Row;
  /** Whether the tab key stops here. */
  readonly isCurrent: boolean;
  readonly isActive: boolean;
  readonly showsLayer: boolean;
  readonly onClick: () => void;
}

function TreeRow({ row, isCurrent, isActive, showsLayer, onClick }: TreeRowProps): JSX.Element {
  const common = {
    role: "treeitem",
    tabIndex: isCurrent ? 0 : -1,
    "aria-level": row.level,
    "aria-selected": isActive,
    style: { "--level": row.level },
    onClick,
  } as const;
  if (row.kind !== "entry") {
    return (
      <li {...common} class={`tree-row tree-note tree-${row.kind}`}>
        <span class="tree-name">{row.words}</span>
      </li>
    );
  }
  const { entry, isOpen, position, of } = row;
  return (
    <li
      {...common}
      class={`tree-row change-${entry.change}`}
      aria-setsize={of}
      aria-posinset={position}
      {...(isOpen === undefined ? {} : { "aria-expanded": isOpen })}
    >
      <span class="tree-sign" aria-hidden="true">
        {SIGNS[entry.change]}
      </span>
      <span class="tree-name">
        <span class={`tree-knob ${isOpen === undefined ? "" : isOpen ? "is-open" : "is-closed"}`} />
        <Name entry={entry} />
        {entry.link_target !== null && <span class="tree-target"> → {entry.link_target}</span>}
        {entry.change !== "unchanged" && <span class="unseen"> {entry.change}</span>}
      </span>
      {showsLayer && (
        <span class="tree-layer" title={`of layer ${entry.layer}`}>
          <span class="unseen">layer </span>
          {entry.layer}
        </span>
      )}
      <span class="tree-mode" aria-hidden="true">
        {fileMode(entry)}
      </span>
      <span class="tree-size">{hasSize(entry) ? byteSize(entry.size_bytes) : ""}</span>
    </li>
  );
}

function Name({ entry }: { readonly entry: FileEntry }): JSX.Element {
  const name = entry.kind === "directory" ? `${entry.name}/` : entry.name;
  return entry.change === "removed" ? <del>{name}</del> : <span>{name}</span>;
}

function hasSize({ kind }: FileEntry): boolean {
  return kind === "file" || kind === "directory";
}

function withPath(open: ReadonlySet<string>, path: string, isOpen: boolean): ReadonlySet<string> {
  const now = new Set(open);
  if (isOpen) now.add(path);
  else now.delete(path);
  return now;
}
