import { describe, expect, it } from "vitest";

import { requireKernel } from "../src/kernel-version.js";

const FEATURES = [
  { name: "the basics", since: "5.4" },
  { name: "a late feature", since: "6.10" },
  { name: "an early one", since: "5.13" },
];

describe("requireKernel()", () => {
  it("gives the latest version that a feature needs, by number", () => {
    expect(requireKernel(FEATURES, undefined)).toBe("6.10");
    expect(requireKernel(FEATURES.slice(0, 1), undefined)).toBe("5.4");
  });

  it.each(["6.10", "6.11", "7.0", "6.18.3-cloud-amd64"])("takes %s as recent enough", (wanted) => {
    expect(requireKernel(FEATURES, wanted)).toBe("6.10");
  });

  it.each(["6.9", "6.1", "5.4", "4.19.0-27-amd64"])("refuses %s", (wanted) => {
    expect(() => requireKernel(FEATURES, wanted)).toThrow(`cannot make a disk for Linux ${wanted}`);
  });

  it.each(["", "6", "v6.1", "6.", "six.one"])("refuses %j as no version", (wanted) => {
    expect(() => requireKernel(FEATURES, wanted)).toThrow("not a version");
  });
});
