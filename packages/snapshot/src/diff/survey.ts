import { walkTrees } from "@lamella/layer-format";
import type { Entry, FileTree } from "@lamella/layer-format";

import { LinkGroups } from "./link-groups.js";
import { isSameInode, withoutSocket } from "./sameness.js";
import type { SamenessOptions } from "./sameness.js";
import { STEP, Steps } from "./steps.js";

export interface SurveyOptions extends SamenessOptions {
  linksBelow?: boolean | undefined;
}

/** What a diff has to do, path by path, in the order of `walkTrees`. */
export interface Survey {
  readonly steps: Steps;
  /** A name that lower has, by the inodes of upper that get further ones as links to it. */
  readonly linkTargets: ReadonlyMap<number, string>;
}

/** Compares two trees. What it remembers is three bytes a path, and the names of hard links. */
export async function surveyTrees(lower: FileTree, upper: FileTree, options: SurveyOptions): Promise<Survey> {
  const steps = new Steps();
  const groups = new LinkGroups();
  let gone: string | undefined;
  for await (const { path, before, after } of walkTrees(lower, upper, { signal: options.signal })) {
    const depth = depthOf(path);
    const old = withoutSocket(before);
    const now = withoutSocket(after);
    if (gone !== undefined && !path.startsWith(gone)) gone = undefined;
    if (gone === undefined && old?.kind === "directory" && now?.kind !== "directory") gone = `${path}/`;
    if (now === undefined) {
      const isBelow = gone !== undefined && path.startsWith(gone);
      steps.push(old === undefined || isBelow ? STEP.none : STEP.whiteOut, depth);
      continue;
    }
    const isSame = old !== undefined && (await compare(old, now));
    const index = steps.push(isSame ? STEP.keep : STEP.carry, depth);
    if (isShared(now) || (old !== undefined && isShared(old))) {
      groups.add(now.inode, { index, path, below: isSame ? old.inode : undefined });
    }
  }
  const linkTargets = groups.settle(steps, options.linksBelow === true);
  steps.clearDirectories();
  return { steps, linkTargets };

  function compare(old: Entry, now: Entry): Promise<boolean> {
    const isInode = (): Promise<boolean> => isSameInode([lower, old], [upper, now], options);
    return isShared(now) ? groups.compare(old.inode, now.inode, isInode) : isInode();
  }
}

function isShared({ links }: Entry): boolean {
  return links > 1;
}

/** How many names lead to a path; 0 for the root. */
export function depthOf(path: string): number {
  if (path === "") return 0;
  let depth = 1;
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) depth++;
  return depth;
}
