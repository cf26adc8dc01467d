/**
 * Checks what the documentation promises without running it: every code block that names its file
 * (` ```js examples/x.mjs `) equals that file, and every relative link leads somewhere. The examples themselves are run by
 * `test/examples.test.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** What is wrong in one page, a line each. */
export function checkPage(path) {
  const text = readFileSync(path, "utf8");
  const faults = [];
  for (const [, file, block] of text.matchAll(/^```[a-z]+ (\S+)\n([\s\S]*?)^```$/gm)) {
    const target = join(dirname(path), file);
    if (!existsSync(target)) faults.push(`the block ${file} names no file`);
    else if (readFileSync(target, "utf8") !== block) faults.push(`the block ${file} differs from the file`);
  }
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, "");
  for (const [, link] of prose.matchAll(/\]\((?!https?:|#)([^)\s#]+)/g)) {
    if (!existsSync(join(dirname(path), link))) faults.push(`the link ${link} leads nowhere`);
  }
  return faults;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const pages = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.md"], { cwd: ROOT, encoding: "utf8" });
  let count = 0;
  for (const page of pages.split("\n").filter((name) => name !== "" && !name.startsWith(".changeset/"))) {
    for (const fault of checkPage(join(ROOT, page))) {
      console.log(`${relative(ROOT, join(ROOT, page))}: ${fault}`);
      count++;
    }
  }
  process.exit(count > 0 ? 1 : 0);
}
