import type { CallOptions } from "@lamella/refs";

/** A mount as data: nothing is mounted until a {@link Mounter} is given it. */
export interface Mount {
  /** A file system of the kernel (`overlay`, `erofs`, `bind` for a bind mount), or `checkout`, which is a directory that a Mounter fills and reads back. */
  readonly type: string;
  /** A directory, a disk image, or what the type asks for. */
  readonly source: string;
  /** An absolute path where an earlier mount of a list goes that a later one needs; without it the mount is what the caller asked for. */
  readonly target?: string | undefined;
  /** As mount(8) takes them with -o; `ro` or `rw` is one of them. */
  readonly options: readonly string[];
}

/** Makes mounts real, in the order of the list, and undoes them in the other. */
export interface Mounter {
  /** @param target an existing directory */
  mount(mounts: readonly Mount[], target: string, options?: CallOptions): Promise<void>;
  /** What was written is part of the snapshot when this has resolved. Unmounting what is not mounted is a success. */
  unmount(mounts: readonly Mount[], target: string, options?: CallOptions): Promise<void>;
}
