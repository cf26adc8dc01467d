export { hostileCases, writeCorpus } from "./corpus.js";
export { caseId, caseTitle } from "./hostile-case.js";
export type { ExpectedEntry, ExpectedTree, Format, HostileCase, Refusal, Rule } from "./hostile-case.js";
export { tryAll } from "./try-all.js";
export type { TryAllOptions } from "./try-all.js";
export type { TryOptions, Verdict } from "./try-case.js";
