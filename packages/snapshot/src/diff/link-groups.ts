import { STEP } from "./steps.js";
import type { Steps } from "./steps.js";

interface LinkName {
  /** Of its path in the walk. */
  readonly index: number;
  readonly path: string;
  /** The inode that the name has in the lower tree, where that says the same. */
  readonly below: number | undefined;
}

/** The inodes of the upper tree that have several names in either tree. */
export class LinkGroups {
  readonly #groups = new Map<number, LinkName[]>();
  readonly #compared = new Map<string, boolean>();

  add(inode: number, name: LinkName): void {
    const names = this.#groups.get(inode);
    if (names === undefined) this.#groups.set(inode, [name]);
    else names.push(name);
  }

  /** Compares two inodes, once for all the names that they have in common. */
  async compare(below: number, inode: number, isSame: () => Promise<boolean>): Promise<boolean> {
    const key = `${below} ${inode}`;
    const known = this.#compared.get(key);
    if (known !== undefined) return known;
    const result = await isSame();
    this.#compared.set(key, result);
    return result;
  }

  /**
   * Decides which names stay and which come with the layer. An inode of the lower tree stays one of the upper tree, the first that is the same
   * and has no other names than it. Of any other all names come, so that the layer needs nothing of the lower tree to link to; or, with
   * `linksBelow`, only the new names.
   *
   * @returns the names to link to that do not come, by inode
   */
  settle(steps: Steps, linksBelow: boolean): Map<number, string> {
    const targets = new Map<number, string>();
    const taken = new Set<number>();
    for (const [inode, names] of this.#groups) {
      const stays = staying(names, { taken, linksBelow });
      if (stays?.below !== undefined) taken.add(stays.below);
      for (const { index, below } of names) {
        if (stays !== undefined && below === stays.below) continue;
        steps.set(index, STEP.carry);
        if (stays !== undefined) targets.set(inode, stays.path);
      }
    }
    return targets;
  }
}

function staying(
  names: readonly LinkName[],
  { taken, linksBelow }: { taken: ReadonlySet<number>; linksBelow: boolean },
): LinkName | undefined {
  const first = names.find(({ below }) => below !== undefined && !taken.has(below));
  if (first === undefined || linksBelow) return first;
  return names.every(({ below }) => below === first.below) ? first : undefined;
}
