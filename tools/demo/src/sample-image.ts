import { readFileSync, statSync } from "node:fs";

import { byteString } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";

import { hostPrograms, npmFiles } from "./host-files.js";
import type { HostFile } from "./host-files.js";

/** 2025-01-01: the sample depends on the machine's files, not on the day. */
const EPOCH_SECONDS = 1_735_689_600;
const NPM = "usr/lib/node_modules/npm";

const INIT = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
[ -e /proc/version ] || mount -t proc proc /proc
cat /etc/motd
exec sh -i
`;

/**
 * A small image made of this machine's files that boots to a shell, as three layers with what real ones have: a base system; npm's own
 * tree, with a hard link and an xattr; and a layer that takes away (whiteouts, an opaque directory) and replaces.
 */
export function sampleLayers(): TarInput[][] {
  return [baseLayer(), npmLayer(), trimmingLayer()];
}

function baseLayer(): TarInput[] {
  const directories = [
    "bin",
    "dev",
    "etc",
    "proc",
    "sys",
    "run",
    "root",
    "usr",
    "usr/bin",
    "usr/lib",
    "var",
    "var/cache",
  ];
  return [
    directory("", 0o755),
    ...directories.map((path) => directory(path, 0o755)),
    directory("tmp", 0o1777),
    ...hostPrograms().map(hostFile),
    file("init", INIT, 0o755),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    file("etc/os-release", 'ID=lamella-sample\nPRETTY_NAME="The sample image of Lamella"\n'),
    file("etc/motd", "to be replaced\n"),
    file("var/cache/stale", "to be removed\n"),
    { ...node("dev/console", "char", 0o600), deviceMajor: 5, deviceMinor: 1 },
    { ...node("dev/null", "char", 0o666), deviceMajor: 1, deviceMinor: 3 },
  ];
}

function npmLayer(): TarInput[] {
  const files = npmFiles();
  if (files.length === 0)
    return [file("usr/lib/npm-is-missing", "npm was not found on the machine that made this image\n")];
  const note = new Map([["user.lamella.sample", new TextEncoder().encode("an xattr")]]);
  return [
    ...files.map(hostFile),
    { ...node("usr/bin/npm", "symlink", 0o777), ...target(`../lib/node_modules/npm/bin/npm-cli.js`) },
    { ...node("usr/bin/npm-cli.js", "hardlink", 0o644), linkTarget: byteString(`${NPM}/bin/npm-cli.js`) },
    { ...file("etc/npm-sample", "a file with an xattr\n"), xattrs: note },
  ];
}

function trimmingLayer(): TarInput[] {
  return [
    node("var/cache/stale", "whiteout", 0o644),
    node(`${NPM}/docs`, "opaque", 0o644),
    node(`${NPM}/man`, "opaque", 0o644),
    file("etc/motd", "Lamella: this machine booted from a disk that no mkfs has made.\n"),
  ];
}

function node(path: string, kind: TarInput["kind"], mode: number): TarInput {
  return {
    path: byteString(path),
    kind,
    mode,
    uid: 0,
    gid: 0,
    mtimeSeconds: EPOCH_SECONDS,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: 0,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
  };
}

function directory(path: string, mode: number): TarInput {
  return node(path, "directory", mode);
}

function target(path: string): { linkTarget: string; size: number } {
  const linkTarget = byteString(path);
  return { linkTarget, size: linkTarget.length };
}

function file(path: string, text: string, mode = 0o644): TarInput {
  const bytes = new TextEncoder().encode(text);
  return {
    ...node(path, "file", mode),
    size: bytes.length,
    contents: async function* () {
      yield bytes;
    },
  };
}

function hostFile({ from, to }: HostFile): TarInput {
  const { size, mode } = statSync(from);
  return {
    ...node(to, "file", mode & 0o755),
    size,
    // small files, thousands of them: a stream for each would take longer than all the rest
    async *contents() {
      yield readFileSync(from);
    },
  };
}
