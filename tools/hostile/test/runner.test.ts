import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { caseId, hostileCases, tryAll, writeCorpus } from "../src/index.js";

const REFUSED = "58-an-entry-of-type-0x5a-is-refused";
const ACCEPTED = "57-a-tar-without-an-end-marker-is-taken";
const RIGHT_MESSAGE = 'lamella: cannot read layer entry "f": no layer may have an entry of type 0x5a';

/** A command that does wrong has to be found out. */
describe("the runner", () => {
  let work = "";
  const cases = hostileCases.filter((each) => [REFUSED, ACCEPTED].includes(caseId(each)));

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-hostile-runner-"));
    await writeCorpus(work, cases);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  async function faultsOf(id: string, script: string): Promise<string> {
    const program = join(work, "program");
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o755);
    const tried = cases.filter((each) => caseId(each) === id);
    const [verdict] = await tryAll(tried, { command: [program], corpus: work });
    return verdict?.faults.join("\n") ?? "";
  }

  it("is content with one clear line and the right status", async () => {
    expect(await faultsOf(REFUSED, `echo '${RIGHT_MESSAGE}' >&2; exit 5`)).toBe("");
  });

  it.each([
    ["another status", `echo '${RIGHT_MESSAGE}' >&2; exit 1`, "it ended with 1, not 5"],
    ["a message without the rule", "echo 'lamella: cannot go on' >&2; exit 5", "does not say"],
    ["a second line", `echo '${RIGHT_MESSAGE}' >&2; echo more >&2; exit 5`, "2 lines, not one"],
    ["a stack trace", `printf '%s\\n    at f (x.js:1:1)\\n' '${RIGHT_MESSAGE}' >&2; exit 5`, "stack trace"],
    ["a raw control character", `printf '%s \\033[31m\\n' '${RIGHT_MESSAGE}' >&2; exit 5`, "control characters"],
    ["output", `echo partial; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "wrote to stdout"],
    ["a part of a disk", `touch out/disk.ext4.part; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "it left"],
    ["a temporary file", `touch "$TMPDIR/x"; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "it left"],
    ["a file in the store", `touch root/x; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "the store has x"],
    ["a file outside", `echo x > ../evil; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "evil was"],
    ["a mode changed outside", `chmod 777 ../outside; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "outside was"],
    ["a link followed and filled", `touch ../link/new; echo '${RIGHT_MESSAGE}' >&2; exit 5`, "outside/new was absent"],
  ])("finds %s", async (_what, script, fault) => {
    expect(await faultsOf(REFUSED, script)).toContain(fault);
  });

  it("finds an image refused that had to be taken, and one with another tree", async () => {
    expect(await faultsOf(ACCEPTED, "echo 'lamella: cannot' >&2; exit 5")).toContain("it ended with 5");
    const other = '{"path":"g","kind":"file","size":9,"xattrs":{}}';
    const faults = await faultsOf(ACCEPTED, `[ "$1" = ls ] && echo '${other}' || exit 1`);
    expect(faults).toContain('ls has "g"');
    expect(faults).toContain('ls lacks "f"');
  });
});
