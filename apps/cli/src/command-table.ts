import type { Command } from "commander";

/** A command, the code of which is loaded when it is run: to parse all of it takes longer than many a command. */
export interface CommandEntry {
  readonly name: string;
  readonly description: string;
  load(): Promise<Command>;
}

/** In the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "disk",
    description: "write an image as a disk",
    load: async () => (await import("./commands/disk.js")).diskCommand(),
  },
  {
    name: "pull",
    description: "bring an image into the store",
    load: async () => (await import("./commands/pull.js")).pullCommand(),
  },
  {
    name: "images",
    description: "list the images of the store",
    load: async () => (await import("./commands/images.js")).imagesCommand(),
  },
  {
    name: "tag",
    description: "give an image of the store another name",
    load: async () => (await import("./commands/tag.js")).tagCommand(),
  },
  {
    name: "rm",
    description: "remove images from the store",
    load: async () => (await import("./commands/rm.js")).rmCommand(),
  },
  {
    name: "df",
    description: "show what the images of the store take",
    load: async () => (await import("./commands/df.js")).dfCommand(),
  },
  {
    name: "gc",
    description: "remove from the store what nothing needs",
    load: async () => (await import("./commands/gc.js")).gcCommand(),
  },
  {
    name: "check",
    description: "find what is damaged in the store, and repair it",
    load: async () => (await import("./commands/check.js")).checkCommand(),
  },
  {
    name: "push",
    description: "send an image of the store to a registry",
    load: async () => (await import("./commands/push.js")).pushCommand(),
  },
  {
    name: "copy",
    description: "copy an image between registries, OCI layouts and archives, digests kept",
    load: async () => (await import("./commands/copy.js")).copyCommand(),
  },
  {
    name: "tags",
    description: "list the tags of a repository",
    load: async () => (await import("./commands/tags.js")).tagsCommand(),
  },
  {
    name: "referrers",
    description: "list what refers to an image: signatures, SBOMs, disks",
    load: async () => (await import("./commands/referrers.js")).referrersCommand(),
  },
  {
    name: "inspect",
    description: "show what an image is, without pulling it",
    load: async () => (await import("./commands/inspect.js")).inspectCommand(),
  },
  {
    name: "digest",
    description: "print the digest that a name stands for",
    load: async () => (await import("./commands/digest.js")).digestCommand(),
  },
  {
    name: "manifest",
    description: "print the manifest or index of an image, byte for byte",
    load: async () => (await import("./commands/manifest.js")).manifestCommand(),
  },
  {
    name: "config",
    description: "print the config of an image, byte for byte",
    load: async () => (await import("./commands/config.js")).configCommand(),
  },
  {
    name: "ls",
    description: "list a directory of an image",
    load: async () => (await import("./commands/ls.js")).lsCommand(),
  },
  {
    name: "cat",
    description: "print a file of an image",
    load: async () => (await import("./commands/cat.js")).catCommand(),
  },
  {
    name: "diff",
    description: "compare two file trees: images, disks, directories, layers",
    load: async () => (await import("./commands/diff.js")).diffCommand(),
  },
  {
    name: "unpack",
    description: "write the file tree of an image into a directory",
    load: async () => (await import("./commands/unpack.js")).unpackCommand(),
  },
  {
    name: "mount",
    description: "mount the file tree of an image, read-only",
    load: async () => (await import("./commands/mount.js")).mountCommand(),
  },
  {
    name: "serve",
    description: "serve an image as a block device, read-only",
    load: async () => (await import("./commands/serve.js")).serveCommand(),
  },
  {
    name: "layer",
    description: "look into a layer's blob, convert it, verify it",
    load: async () => (await import("./commands/layer.js")).layerCommand(),
  },
  {
    name: "snapshot",
    description: "make, change and commit snapshots of images",
    load: async () => (await import("./commands/snapshot.js")).snapshotCommand(),
  },
  {
    name: "login",
    description: "keep a registry's credentials, where docker keeps them",
    load: async () => (await import("./commands/login.js")).loginCommand(),
  },
  {
    name: "logout",
    description: "forget a registry's credentials",
    load: async () => (await import("./commands/logout.js")).logoutCommand(),
  },
];
