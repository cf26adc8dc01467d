import { clampTime, displayPath, tarInputOf, tarLinkTo, walkTrees } from "@lamella/layer-format";
import type { Entry, FileTree, TarInput } from "@lamella/layer-format";

import { SnapshotError } from "../errors.js";
import { withoutSocket } from "./sameness.js";
import { STEP } from "./steps.js";
import type { Survey, SurveyOptions } from "./survey.js";
import { depthOf, surveyTrees } from "./survey.js";

export interface DiffOptions extends SurveyOptions {
  /**
   * A new name of an unchanged inode is only a link to a name that the lower tree has. By default the inode comes with all its names, as
   * containerd's and Docker's overlays need it: they cannot link to what the layer itself does not have.
   */
  linksBelow?: boolean | undefined;
  /** In seconds since 1970, as SOURCE_DATE_EPOCH: later times become this one, and whiteouts have it. Theirs is 1970 without. */
  sourceDateEpoch?: number | undefined;
  /** Is told of each socket that is new: no layer can hold one. */
  onSocket?: ((entry: Entry) => void) | undefined;
}

const MARKER = {
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map<string, Uint8Array>(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
};

/**
 * The entries of the layer that makes `upper` of `lower`, the same ones in the same order each time: that of a tree, each whiteout in the place of
 * the name that has gone.
 *
 * What differs in any attribute, extended attribute or content, or is linked to another inode, comes whole, with all of its inode's names, and after
 * the directories that it is in, which are as `upper` has them. A tree that has gone is one whiteout. A directory of which nothing has stayed is opaque
 * where that takes fewer entries than whiteouts.
 *
 * Both trees are walked twice; three bytes a path are kept in between, and the names of hard links.
 *
 * @throws {SnapshotError} `unsupported` for a name that begins with `.wh.`, which a layer takes for a whiteout. Errors of the trees pass as they are.
 */
export async function* diffTrees(
  lower: FileTree,
  upper: FileTree,
  options: DiffOptions = {},
): AsyncGenerator<TarInput, void, undefined> {
  options.signal?.throwIfAborted();
  const survey = await surveyTrees(lower, upper, options);
  const { sourceDateEpoch, wholeSeconds } = options;
  for await (const entry of layerEntries(lower, upper, { ...options, survey })) {
    const timed = sourceDateEpoch === undefined ? entry : clampTime(entry, sourceDateEpoch);
    yield wholeSeconds === true ? { ...timed, mtimeNanoseconds: 0 } : timed;
  }
}

/** A directory on the way to the path at hand. */
interface Parent {
  readonly entry: Entry;
  /** It is in the layer. */
  isCarried: boolean;
  /** It or one above it is opaque: there are no whiteouts below, and directories that had them for their only reason to come. */
  readonly isCleared: boolean;
}

async function* layerEntries(
  lower: FileTree,
  upper: FileTree,
  { survey, sourceDateEpoch = 0, onSocket, signal }: DiffOptions & { survey: Survey },
): AsyncGenerator<TarInput> {
  const linkTargets = new Map(survey.linkTargets);
  const parents: Parent[] = [];
  let index = 0;
  for await (const { path, before, after } of walkTrees(lower, upper, { signal })) {
    const step = survey.steps.get(index++);
    if (after?.kind === "socket" && before?.kind !== "socket") onSocket?.(after);
    if (step === STEP.none) continue;
    parents.length = depthOf(path);
    const isCleared = parents.at(-1)?.isCleared === true;
    const comes = step === STEP.carry || step === STEP.clear || step === (isCleared ? STEP.keep : STEP.whiteOut);
    if (comes) yield* missingParents(path);
    const entry = withoutSocket(after);
    if (comes && entry === undefined) yield whiteout(path);
    if (comes && entry !== undefined) yield carried(entry);
    if (step === STEP.clear && !isCleared) yield { ...MARKER, path, kind: "opaque", mtimeSeconds: sourceDateEpoch };
    if (entry?.kind === "directory") {
      parents.push({ entry, isCarried: comes, isCleared: isCleared || step === STEP.clear });
    }
  }

  /** The root is not among them: every tree has one. */
  function* missingParents(path: string): Generator<TarInput> {
    checkName(path);
    for (const parent of parents.slice(1)) {
      if (!parent.isCarried) yield parent.entry;
      parent.isCarried = true;
    }
  }

  function carried(entry: Entry): TarInput {
    const target = linkTargets.get(entry.inode);
    if (target !== undefined) return tarLinkTo(entry, target);
    if (entry.links > 1) linkTargets.set(entry.inode, entry.path);
    return tarInputOf(upper, entry);
  }

  function whiteout(path: string): TarInput {
    return { ...MARKER, path, kind: "whiteout", mtimeSeconds: sourceDateEpoch };
  }
}

function checkName(path: string): void {
  if (!path.startsWith(".wh.") && !path.includes("/.wh.")) return;
  throw new SnapshotError(
    "unsupported",
    `cannot write "${displayPath(path)}" into a layer: a name that begins with .wh. is a whiteout there`,
  );
}
