import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  type CallOptions,
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  OCI_INDEX,
  parseReference,
  RefsError,
  resolveReference,
  type Resolver,
} from "../src/index.js";

const DIGEST = digestOf(new TextEncoder().encode("an index"));

/** A repository with the given tags, which writes down what it is asked. */
function repository(tags: Readonly<Record<string, Digest>>): Resolver & { asked: string[]; options: CallOptions[] } {
  const asked: string[] = [];
  const options: CallOptions[] = [];
  return {
    asked,
    options,
    resolve: async (name, callOptions = {}): Promise<Descriptor> => {
      asked.push(name);
      options.push(callOptions);
      const digest = tags[name];
      if (digest === undefined) throw new Error(`no tag ${name}`);
      return { mediaType: OCI_INDEX, digest, size: 8 };
    },
  };
}

describe("resolveReference()", () => {
  it("puts the digest beside the tag", async () => {
    const source = repository({ "3.20": DIGEST });
    const resolved = await resolveReference(parseReference("alpine:3.20"), source);
    expect(resolved).toEqual({ domain: "docker.io", path: "library/alpine", tag: "3.20", digest: DIGEST });
    expect(formatReference(resolved)).toBe(`docker.io/library/alpine:3.20@${DIGEST}`);
    expect(source.asked).toEqual(["3.20"]);
  });

  it("asks for latest where there is neither tag nor digest, and keeps it", async () => {
    const resolved = await resolveReference(parseReference("ghcr.io/a/b"), repository({ latest: DIGEST }));
    expect(formatReference(resolved)).toBe(`ghcr.io/a/b:latest@${DIGEST}`);
  });

  it.each([`a@${DIGEST}`, `a:old@${DIGEST}`])("answers for %s without asking", async (text) => {
    const source = repository({});
    const reference = parseReference(text);
    expect(await resolveReference(reference, source)).toEqual(reference);
    expect(source.asked).toEqual([]);
  });

  it("lets the resolver's refusal through", async () => {
    await expect(resolveReference(parseReference("a:gone"), repository({}))).rejects.toThrow("no tag gone");
  });

  it.each([
    ["sha256:abc", "digest_invalid"],
    ["md5:d41d8cd98f00b204e9800998ecf8427e", "digest_unsupported"],
    ["", "digest_invalid"],
  ])("refuses %j as the resolver's answer", async (digest, code) => {
    const resolved = resolveReference(parseReference("a"), repository({ latest: digest as Digest }));
    await expect(resolved).rejects.toThrow(RefsError);
    await expect(resolved).rejects.toMatchObject({ code });
  });

  it("asks nothing once the signal is aborted, a digest or not", async () => {
    const source = repository({ latest: DIGEST });
    const reason = new Error("stop");
    const signal = AbortSignal.abort(reason);
    await expect(resolveReference(parseReference("a"), source, { signal })).rejects.toBe(reason);
    await expect(resolveReference(parseReference(`a@${DIGEST}`), source, { signal })).rejects.toBe(reason);
    expect(source.asked).toEqual([]);
  });

  it("hands the signal on, and rejects with its reason when it is aborted meanwhile", async () => {
    const controller = new AbortController();
    const reason = new Error("stop");
    const source: Resolver = {
      resolve: async (_name, options) => {
        expect(options?.signal).toBe(controller.signal);
        controller.abort(reason);
        return { mediaType: OCI_INDEX, digest: DIGEST, size: 8 };
      },
    };
    await expect(resolveReference(parseReference("a"), source, { signal: controller.signal })).rejects.toBe(reason);
  });

  it("gives what resolves to itself", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("a", "b.c/d", "localhost:1/e/f", "[::1]:5000/g"),
        fc.option(fc.stringMatching(/^[a-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined }),
        async (name, tag) => {
          const reference = parseReference(tag === undefined ? name : `${name}:${tag}`);
          const resolved = await resolveReference(reference, {
            resolve: async () => ({ mediaType: OCI_INDEX, digest: DIGEST, size: 8 }),
          });
          expect(resolved.tag).toBe(tag ?? "latest");
          expect(parseReference(formatReference(resolved))).toEqual(resolved);
          expect(await resolveReference(resolved, repository({}))).toEqual(resolved);
        },
      ),
    );
  });
});
