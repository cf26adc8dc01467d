/**
 * Runs in the machine whose power is cut: each of the commands that stand in a file, as it is shipped but in one process, for to start Node
 * takes seconds there. Before and after each it writes a mark behind the file system of the recorded disk.
 *
 *   usage: node store-power-cut-guest.mjs COMMANDS DEVICE MARKS      MARKS: where on the device, in blocks of 4096 bytes
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const BLOCK = 4096;
const [node, , commandsFile, device, marks] = process.argv;
let place = Number(marks);

for (const [number, args] of JSON.parse(readFileSync(commandsFile, "utf8")).entries()) {
  mark(`begin ${number}`);
  process.argv = [node, "/lamella/lamella.mjs", ...args];
  await import(`/lamella/lamella.mjs?${number}`);
  if (process.exitCode) process.exit();
  mark(`end ${number}`);
}

/** Past the page cache: it is in the record when this returns. */
function mark(text) {
  const parameters = [
    `of=${device}`,
    `bs=${BLOCK}`,
    `seek=${place++}`,
    "iflag=fullblock",
    "oflag=direct",
    "conv=notrunc",
  ];
  execFileSync("/usr/bin/dd", [...parameters, "status=none"], { input: text.padEnd(BLOCK) });
}
