import { afterAll, describe, expect, it } from "vitest";

import {
  type Descriptor,
  digestOf,
  familiarReference,
  formatPlatform,
  formatReference,
  matchPlatform,
  OCI_MANIFEST,
  parsePlatform,
  parseReference,
  type Reference,
  RefsError,
  selectPlatform,
  withDefaultTag,
} from "../src/index.js";
import { containerdPlatforms } from "./corpus/containerd-platforms.js";
import type { Ladder, Reading } from "./corpus/corpus.js";
import { distribution } from "./corpus/distribution.js";
import { oras } from "./corpus/oras.js";
import { regclient } from "./corpus/regclient.js";

interface Count {
  readonly source: string;
  readonly cases: number;
  readonly inputs: number;
  readonly differences: number;
}

const counts: Count[] = [];

function count(source: string, inputs: readonly string[], differences: number): void {
  counts.push({ source, cases: inputs.length, inputs: new Set(inputs).size, differences });
}

/** What `read` makes of a text, or the code of its refusal. */
function verdictOf(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (error instanceof RefsError) return error.code;
    throw error;
  }
}

const READINGS: Readonly<Record<Reading, (text: string) => string>> = {
  reference: (text) => formatReference(parseReference(text)),
  familiar: (text) => formatReference(parseReference(text)),
  defaulted: (text) => formatReference(withDefaultTag(parseReference(text))),
  name: (text) => nameOf(parseReference(text)),
  host: (text) => (parseReference(`${text}/x`).domain === text ? "host" : "path"),
};

function nameOf(reference: Reference): string {
  const isName = reference.tag === undefined && reference.digest === undefined;
  return isName ? formatReference(reference) : "not a name";
}

describe.each([distribution, regclient, oras])("the cases of $source", ({ source, groups }) => {
  it.each(groups)("are read as there: $title", ({ reading, cases, differences = [] }) => {
    const read = (text: string): string => verdictOf(() => READINGS[reading](text));
    expect(cases.map(([input]) => [input, read(input)])).toEqual(cases.map(([input, verdict]) => [input, verdict]));
    expect(differences.map(([input]) => [input, read(input)])).toEqual(
      differences.map(([input, , ours]) => [input, ours]),
    );
    for (const [, theirs, ours, reason] of differences) {
      expect(theirs).not.toBe(ours);
      expect(reason).not.toBe("");
    }
    for (const [input, , familiar] of cases) {
      if (reading === "familiar") expect(familiarReference(parseReference(input))).toBe(familiar);
    }
  });

  const all = groups.flatMap(({ cases, differences = [] }) => [...cases, ...differences]);
  const differing = groups.reduce((sum, { differences = [] }) => sum + differences.length, 0);
  count(
    source,
    all.map(([input]) => input),
    differing,
  );
});

describe(`the cases of ${containerdPlatforms.source}`, () => {
  const { host, specifiers, differences, refused, refusalCode, equals, formats, runs, exact, orders } =
    containerdPlatforms;
  const normal = (text: string): string => formatPlatform(parsePlatform(text, host));
  const matches = (offered: string, wanted: string): boolean =>
    matchPlatform(parsePlatform(offered, host), parsePlatform(wanted, host));
  const select = (offers: readonly string[], wanted: string): string | undefined => {
    const manifests = offers.map(manifestFor);
    const chosen = selectPlatform(manifests, parsePlatform(wanted, host));
    return chosen === undefined ? undefined : offers[manifests.indexOf(chosen)];
  };

  it("give the same normal forms, which read back as themselves", () => {
    const expected = [...specifiers, ...differences.map(([specifier, , ours]) => [specifier, ours] as const)];
    expect(expected.map(([specifier]) => [specifier, normal(specifier)])).toEqual(expected);
    for (const [, form] of expected) expect(normal(form)).toBe(form);
    for (const [specifier, theirs, ours] of differences) {
      expect(theirs).not.toBe(ours);
      expect(normal(theirs), specifier).toBe(ours);
    }
  });

  it("are refused alike", () => {
    expect(refused.map((text) => [text, verdictOf(() => normal(text))])).toEqual(
      refused.map((text) => [text, refusalCode]),
    );
  });

  it("are the same platforms", () => {
    for (const [specifier, same] of equals) {
      expect(same.map(normal)).toEqual(same.map(() => normal(specifier)));
      expect(same.every((other) => matches(other, specifier))).toBe(true);
    }
  });

  it("are written alike, and read back", () => {
    for (const [platform, text] of formats) {
      expect(formatPlatform(platform)).toBe(text);
      const { osVersion, osFeatures = [] } = parsePlatform(text);
      expect({ osVersion, osFeatures }).toEqual({
        osVersion: platform.osVersion,
        osFeatures: (platform.osFeatures ?? []).filter((feature) => feature !== ""),
      });
    }
  });

  it.each(runs)("run alike on $wanted", ({ wanted, yes, no }) => {
    expect(yes.filter((offered) => !matches(offered, wanted))).toEqual([]);
    expect(no.filter((offered) => matches(offered, wanted))).toEqual([]);
  });

  it.each(exact)("are told from what merely runs on $wanted", ({ wanted, yes, no }) => {
    expect(yes.map((offered) => select([...no, offered], wanted))).toEqual(yes);
  });

  it.each(orders)("are chosen alike for %s", (wanted, offers, best) => {
    const left = [...offers];
    const chosen: string[] = [];
    for (let next = select(left, wanted); next !== undefined; next = select(left, wanted)) {
      chosen.push(next);
      left.splice(left.indexOf(next), 1);
    }
    expect(chosen).toEqual(best.slice(0, chosen.length));
    expect(chosen).not.toEqual([]);
    expect(left.some((offered) => matches(offered, wanted))).toBe(false);
  });

  const texts = (ladders: readonly Ladder[]): string[] => ladders.flatMap(({ yes, no }) => [...yes, ...no]);
  count(
    containerdPlatforms.source,
    [
      ...specifiers.map(([specifier]) => specifier),
      ...differences.map(([specifier]) => specifier),
      ...refused,
      ...equals.flatMap(([, same]) => same),
      ...formats.map(([, text]) => text),
      ...texts(runs),
      ...texts(exact),
      ...orders.flatMap(([, offers]) => offers),
    ],
    differences.length,
  );

  function manifestFor(offered: string): Descriptor {
    return {
      mediaType: OCI_MANIFEST,
      digest: digestOf(new TextEncoder().encode(offered)),
      size: 1,
      platform: parsePlatform(offered, host),
    };
  }
});

afterAll(() => {
  for (const { source, cases, inputs, differences } of counts) {
    console.log(`${source}: ${cases} cases, ${inputs} inputs, ${differences} differ on purpose`);
  }
});
