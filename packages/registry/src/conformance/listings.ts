import assert from "node:assert/strict";

import { expectError, expectStatus, header, withClient } from "./client.js";
import type { Client } from "./client.js";
import type { ConformanceGroup } from "./fixture.js";

const TAGS = ["0", "A", "Z", "_x", "a", "a-1", "a.1", "latest"];

interface Listing {
  readonly name?: string;
  readonly tags?: string[];
  readonly repositories?: string[];
}

async function list(client: Client, path: string): Promise<Listing> {
  const response = await client.send("GET", path);
  assert.equal(response.status, 200);
  assert.match(header(response, "Content-Type"), /^application\/json\b/);
  return (await response.json()) as Listing;
}

/** Follows `Link` from page to page. */
async function pages(client: Client, first: string): Promise<Listing[]> {
  const found: Listing[] = [];
  for (let path: string | undefined = first; path !== undefined;) {
    const response = await client.send("GET", path);
    found.push((await response.json()) as Listing);
    path = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("Link") ?? "")?.[1];
  }
  return found;
}

export function listingTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("tags", () => {
    it(
      "are listed in byte order",
      withClient(group, async (client) => {
        for (const tag of [...TAGS].reverse()) await client.pushImage("a/b", tag, "one");
        assert.deepEqual(await list(client, "/v2/a/b/tags/list"), { name: "a/b", tags: TAGS });
      }),
    );

    it(
      "are listed in pages that link to the next",
      withClient(group, async (client) => {
        for (const tag of TAGS) await client.pushImage("a/b", tag, "one");
        const found = await pages(client, "/v2/a/b/tags/list?n=3");
        assert.deepEqual(
          found.map(({ tags }) => tags),
          [TAGS.slice(0, 3), TAGS.slice(3, 6), TAGS.slice(6)],
        );
        const whole = await pages(client, `/v2/a/b/tags/list?n=${TAGS.length}`);
        assert.deepEqual(
          whole.map(({ tags }) => tags),
          [TAGS],
        );
      }),
    );

    it(
      "are listed after a name, whether or not it is one",
      withClient(group, async (client) => {
        for (const tag of TAGS) await client.pushImage("a", tag, "one");
        assert.deepEqual((await list(client, "/v2/a/tags/list?last=a")).tags, ["a-1", "a.1", "latest"]);
        assert.deepEqual((await list(client, "/v2/a/tags/list?n=1&last=b")).tags, ["latest"]);
        assert.deepEqual((await list(client, "/v2/a/tags/list?last=zzz")).tags, []);
      }),
    );

    it(
      "are none for n=0 and without a link",
      withClient(group, async (client) => {
        await client.pushImage("a", "v1", "one");
        assert.deepEqual(await pages(client, "/v2/a/tags/list?n=0"), [{ name: "a", tags: [] }]);
      }),
    );

    it(
      "are none in a repository whose manifests have only digests",
      withClient(group, async (client) => {
        await client.pushImage("a", "v1", "one");
        await expectStatus(await client.send("DELETE", "/v2/a/manifests/v1"), 202);
        assert.deepEqual(await list(client, "/v2/a/tags/list"), { name: "a", tags: [] });
      }),
    );

    it(
      "of an unknown repository are 404",
      withClient(group, async (client) => {
        await expectError(await client.send("GET", "/v2/none/tags/list"), 404, "NAME_UNKNOWN");
        const { descriptor } = await client.pushImage("gone", "v1", "one");
        await expectStatus(await client.send("DELETE", `/v2/gone/manifests/${descriptor.digest}`), 202);
        await expectError(await client.send("GET", "/v2/gone/tags/list"), 404, "NAME_UNKNOWN");
      }),
    );

    it(
      "of a page size that is no count are 400",
      withClient(group, async (client) => {
        await client.pushImage("a", "v1", "one");
        for (const n of ["-1", "1.5", "x", "", "1e3", "0x1"]) {
          await expectError(await client.send("GET", `/v2/a/tags/list?n=${n}`), 400, "PAGINATION_NUMBER_INVALID");
        }
      }),
    );
  });

  describe("repositories", () => {
    it(
      "are listed in byte order and in pages",
      withClient(group, async (client) => {
        const names = ["a", "a-b", "a/b", "b"];
        for (const name of [...names].reverse()) await client.pushImage(name, "v1", "one");
        assert.deepEqual(await list(client, "/v2/_catalog"), { repositories: names });
        const found = await pages(client, "/v2/_catalog?n=2");
        assert.deepEqual(
          found.map(({ repositories }) => repositories),
          [names.slice(0, 2), names.slice(2)],
        );
      }),
    );

    it(
      "are none in an empty registry",
      withClient(group, async (client) => {
        assert.deepEqual(await list(client, "/v2/_catalog"), { repositories: [] });
      }),
    );
  });
}
