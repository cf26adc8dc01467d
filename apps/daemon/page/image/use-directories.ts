import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { imagePath } from "../api/image-path.js";
import { ask, messageOf } from "../api/request.js";
import type { Files, ImageRef } from "../api/types.js";
import { session } from "../state/session.js";
import { useStore } from "../state/store.js";
import { ROOT, unasked } from "./tree-rows.js";
import type { Directories, Directory } from "./tree-rows.js";

const PAGE = 500;
const UNREAD: Directory = { entries: [], next: null, state: "loading" };

export interface BrowsedTree {
  readonly directories: Directories;
  /** Asks for what comes after what is there of a directory, or again for what could not be read. */
  readonly load: (path: string) => void;
}

/** The entries of those directories that are open, asked for when they are opened: of one layer, or of all of them merged. */
export function useDirectories(image: ImageRef, layer: number | undefined, open: ReadonlySet<string>): BrowsedTree {
  const { generation } = useStore(session);
  const about = JSON.stringify([image.name, image.platform, image.format, layer, generation]);
  const [trees, setTrees] = useState<{ about: string; directories: Directories }>({ about, directories: new Map() });
  const directories = useMemo(
    () => (trees.about === about ? trees.directories : new Map<string, Directory>()),
    [trees, about],
  );
  const controller = useRef<AbortController | undefined>(undefined);
  useEffect(() => {
    controller.current = new AbortController();
    return () => controller.current?.abort();
  }, [about]);

  const change = (path: string, to: (before: Directory) => Directory): void =>
    setTrees((all) => {
      const before = all.about === about ? all.directories : new Map<string, Directory>();
      return { about, directories: new Map(before).set(path, to(before.get(path) ?? UNREAD)) };
    });
  const load = (path: string): void => {
    const signal = controller.current?.signal;
    const after = directories.get(path)?.next ?? undefined;
    change(path, (before) => ({ ...before, state: "loading" }));
    const parameters = { path: path === ROOT ? undefined : path, layer, after, limit: PAGE };
    ask<Files>(imagePath(image, "/files", parameters), { signal }).then(
      ({ entries, next }) =>
        change(path, (before) => ({ entries: [...before.entries, ...entries], next, state: "loaded" })),
      (error: unknown) => {
        if (signal?.aborted !== true)
          change(path, (before) => ({ ...before, state: "failed", error: messageOf(error) }));
      },
    );
  };
  useEffect(() => {
    for (const path of unasked(directories, open)) load(path);
  }, [directories, open]);
  return { directories, load };
}
