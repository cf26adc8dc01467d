import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { missing, unpackWithUmoci } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { caseId, caseTitle, hostileCases, writeCorpus } from "../src/index.js";
import { UMOCI_DIFFERENCES } from "./umoci-differences.js";

const FIRST_ROW = 41;
const LAST_ROW = 66;
/** umoci would write every byte of the holes. */
const TOO_LARGE = ["hole of", "holes of"];

const lacking = missing(["root", "umoci"]);
const asked = hostileCases.filter(
  ({ row = 0, title }) => row >= FIRST_ROW && row <= LAST_ROW && !TOO_LARGE.some((words) => title.includes(words)),
);

/** Go's archive/tar, as umoci uses it, on the rows on headers: where Go refuses, so do we. */
describe.skipIf(lacking !== undefined)(`umoci agrees on ${lacking ?? ""}`, () => {
  let work = "";
  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-hostile-umoci-"));
    await writeCorpus(work, asked);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it.each(asked.map((each) => [caseTitle(each), each] as const))("%s", async (_title, each) => {
    const target = join(work, `${caseId(each)}.unpacked`);
    const image = { layout: join(work, caseId(each)), tag: "latest", target };
    const accepted = await unpackWithUmoci(image).then(
      () => true,
      () => false,
    );
    rmSync(target, { recursive: true, force: true });
    const differs = accepted !== (each.rule !== "refuse");
    expect(differs, `umoci ${accepted ? "accepts" : "refuses"} it`).toBe(UMOCI_DIFFERENCES.has(caseId(each)));
  });
});
