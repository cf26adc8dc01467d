/**
 * What the names and inodes of a tree say, in arrays that two threads share; about 70 bytes an inode and 15 a name, and the names themselves.
 *
 * A *node* is an inode, by the order of its first name: the root is node 0, which the kernel knows as 1. A *name* is an entry of the tree, in its order.
 */
export interface TreeIndex {
  readonly nodeCount: number;
  readonly nameCount: number;
  /** Bytes of all files as they are read. */
  readonly totalBytes: number;
  /** Whether any inode has an access control list, which the kernel heeds only if it is told to. */
  readonly hasAcls: boolean;

  // A number for each node.
  /** `st_mode`, with the type. */
  readonly modes: Uint32Array;
  readonly links: Uint32Array;
  readonly uids: Uint32Array;
  readonly gids: Uint32Array;
  readonly devices: Uint32Array;
  readonly sizes: Float64Array;
  /** Bytes that hold data. */
  readonly dataBytes: Float64Array;
  readonly seconds: Float64Array;
  readonly nanoseconds: Uint32Array;
  /** The first name. */
  readonly firstNames: Uint32Array;
  /** The directory of the first name; of the root itself. */
  readonly parents: Uint32Array;
  /** Where a symlink's target is in `bytes`; its length is the size. */
  readonly targets: Uint32Array;
  /** Where the xattrs are in `bytes`, 0 for none: their number, and for each the lengths of name and value (each 4 bytes), name and value. */
  readonly xattrs: Uint32Array;
  /** Where in `children` those of a directory begin, and with one more than there are nodes, where they end. */
  readonly firstChildren: Uint32Array;

  // A number for each name.
  readonly nameNodes: Uint32Array;
  /** Where it is in `bytes`, and how long. */
  readonly nameStarts: Uint32Array;
  readonly nameLengths: Uint16Array;
  /** All names but the root's, directory by directory, those of each in byte order. */
  readonly children: Uint32Array;

  readonly bytes: Uint8Array;
}
