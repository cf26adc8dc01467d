import { createChunkStore } from "./chunk-store.js";
import { HOLE, readFileChunks } from "./file-chunks.js";
import type { FileChunks, FileChunksOptions } from "./file-chunks.js";
import type { ErofsInode } from "../inode.js";
import { BLOCK_BYTES, NO_BLOCK } from "../layout.js";
import { chunkMapLength, createDataSpace, fitChunkBits } from "./shared-data.js";
import type { DataSpace } from "./shared-data.js";

/**
 * Reads files in the order given, finds out which blocks of them are equal, and has `shared` set for each file that takes less room for it: the first that
 * has a block keeps it. Files of which nothing is equal stay as they are, with an inline tail, and so do small ones that are fewer
 * than would fill the block that they would share.
 *
 * The size of a chunk is chosen for each file: blocks are compared one by one, since equal data of two files seldom begins at
 * a larger border, and then a file is told of in the largest chunks that lie in one run, since the kernel maps a chunk at a time.
 *
 * @throws {DiskExportError} `unsupported`, `tree_invalid`
 */
export async function shareBlocks(files: readonly ErofsInode[], options: FileChunksOptions): Promise<void> {
  const chunks = await readFileChunks(files, options);
  const twins = findTwins(files, chunks);
  const sharing: Sharing = { space: createDataSpace(), known: new Uint32Array(chunks.contentCount) };
  for (const [index, inode] of files.entries()) {
    if (inode.size === 0) continue;
    const first = twins.first[index]!;
    const isWorthwhile = twins.counts[first]! * inode.size > alignedSize(inode);
    if (first === index) shareFile(inode, chunks.of(index), { ...sharing, isWhole: isWorthwhile });
    else if (isWorthwhile) inode.shared = { ...files[first]!.shared!, ownBlocks: 0 };
    else shareFile(inode, chunks.of(index), { ...sharing, isWhole: false });
  }
}

interface Sharing {
  readonly space: DataSpace;
  /** For each content the position of a block that has it; 0 where none has yet. */
  readonly known: Uint32Array;
}

interface Twins {
  /** For each file the place of the first that is equal. */
  readonly first: Uint32Array;
  /** For each first how many are equal, itself included. */
  readonly counts: Uint32Array;
}

function findTwins(files: readonly ErofsInode[], chunks: FileChunks): Twins {
  const first = new Uint32Array(files.length);
  const counts = new Uint32Array(files.length);
  const firsts = new Uint32Array(files.length);
  const store = createChunkStore(files.length);
  for (const [index, { size }] of files.entries()) {
    const contents = chunks.of(index);
    const told = new Uint32Array(contents.length + 1);
    told.set(contents);
    told[contents.length] = size % BLOCK_BYTES;
    const known = store.count();
    const number = store.add(new Uint8Array(told.buffer));
    if (number === known) firsts[number] = index;
    first[index] = firsts[number]!;
    counts[first[index]]! += 1;
  }
  return { first, counts };
}

function alignedSize({ size }: ErofsInode): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

/** @param isWhole the tail is to have a block, for the sake of files that are equal */
function shareFile(
  inode: ErofsInode,
  contents: Uint32Array,
  { space, known, isWhole }: Sharing & { readonly isWhole: boolean },
): void {
  const ownStart = space.next();
  const tail = isWhole ? 0 : inode.size % BLOCK_BYTES;
  const flatBlocks = tail === 0 ? contents.length : contents.length - 1;
  let ownBlocks = 0;

  function isOwn(content: number): boolean {
    if (content === HOLE || known[content] !== 0) return false;
    known[content] = ownStart + ownBlocks;
    ownBlocks += 1;
    return true;
  }

  for (let index = 0; index < flatBlocks; index++) isOwn(contents[index]!);
  let saved = (flatBlocks - ownBlocks) * BLOCK_BYTES;
  if (saved > 0) {
    const last = contents[flatBlocks];
    const isOwnTail = last !== undefined && isOwn(last);
    saved += isOwnTail ? tail - BLOCK_BYTES : tail;
    const positions = contents.map((content) => (content === HOLE ? NO_BLOCK : known[content]!));
    const shared = { positions, chunkBits: fitChunkBits(positions), ownStart, ownBlocks, space };
    if (saved > chunkMapLength(shared)) {
      inode.shared = shared;
      space.take(inode, ownBlocks);
      return;
    }
    if (isOwnTail) known[last] = 0;
  }

  // Flat, it has each of its blocks itself.
  for (let index = 0; index < flatBlocks; index++) {
    const content = contents[index]!;
    if (content !== HOLE && known[content]! >= ownStart) known[content] = ownStart + index;
  }
  if (isWhole) {
    const positions = contents.map((_, index) => ownStart + index);
    inode.shared = { positions, chunkBits: undefined, ownStart, ownBlocks: flatBlocks, space };
  }
  space.take(inode, flatBlocks);
}
