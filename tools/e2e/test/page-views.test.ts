import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { missing } from "@lamella/oracles";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startLamellad } from "./daemon-process.js";
import type { DaemonProcess } from "./daemon-process.js";
import { axeVerdict, launchBrowser, openPage, overflow, PHONE, WIDE } from "./page-browser.js";
import type { OpenOptions, WatchedPage } from "./page-browser.js";
import { startFixedDaemon } from "./page-fixed-daemon.js";
import type { FixedDaemon } from "./page-fixed-daemon.js";
import {
  checkReport,
  files,
  garbageReport,
  HOSTILE,
  images,
  layers,
  MANY,
  NOW,
  queue,
  SHOWN,
  usage,
} from "./page-fixed-state.js";
import type { Json } from "./page-fixed-state.js";
import { differencesFrom } from "./page-schema.js";
import type { OpenApi } from "./page-schema.js";

/** Where pictures of the views go, if they are wanted: `LAMELLA_SCREENSHOTS=$PWD/../../docs/page npx vitest run test/page-views.test.ts` */
const PICTURES = process.env["LAMELLA_SCREENSHOTS"];
/** What the pictures show in the address of a disk. */
const PICTURED_PORT = 5080;

/** A directory at once. */
const WHOLE = { after: null, limit: Infinity };
const IMAGE = `#/images/${encodeURIComponent(SHOWN.name)}?platform=linux%2Famd64&format=ext4`;
const PULLED = `#/images/${encodeURIComponent("docker.io/library/postgres:17")}?platform=linux%2Famd64&format=erofs`;

type Look = "light" | "dark" | "phone" | "phone-dark";

interface View {
  readonly name: string;
  readonly hash: string;
  /** Which of its looks are pictured. */
  readonly pictures?: readonly Look[];
  /** Until all of it is there. */
  readonly show: (page: Page) => Promise<void>;
}

const views: readonly View[] = [
  {
    name: "images",
    hash: "#/images",
    pictures: ["light", "dark", "phone"],
    show: async (page) => page.getByText("Pulling: ").waitFor(),
  },
  {
    name: "image",
    hash: IMAGE,
    pictures: ["light", "phone-dark"],
    async show(page) {
      await page.getByRole("radio", { name: "npm ci" }).check();
      await page.getByRole("treeitem", { name: /^root\// }).click();
      await page.getByRole("treeitem", { name: ".npmrc" }).waitFor();
      await page.getByRole("treeitem", { name: /^\.npm\// }).click();
    },
  },
  { name: "image-pulled", hash: PULLED, show: async (page) => page.getByText("33.0 MiB of 72.0 MiB").waitFor() },
  {
    name: "queue",
    hash: "#/queue",
    show: async (page) => page.getByText("2 builds under way").waitFor(),
  },
  {
    name: "usage",
    hash: "#/usage",
    pictures: ["light"],
    show: async (page) => page.getByText("Layer archives").waitFor(),
  },
  {
    name: "create",
    hash: "#/images",
    async show(page) {
      await page.getByRole("button", { name: "New image" }).click();
      await page.getByLabel("Name", { exact: true }).fill("alpine:3.20");
    },
  },
  {
    name: "garbage",
    hash: "#/usage",
    async show(page) {
      await page.getByRole("button", { name: "Collect garbage" }).click();
      await page.getByRole("button", { name: "Free 402 MiB" }).waitFor();
    },
  },
  {
    name: "check",
    hash: "#/usage",
    async show(page) {
      await page.getByRole("button", { name: "Check the store" }).click();
      await page.getByText("1 finding").first().waitFor();
    },
  },
];

/** Each after the one before, in the same tab: the page follows. */
const looks = [
  { look: "light", colorScheme: "light", viewport: WIDE },
  { look: "dark", colorScheme: "dark", viewport: WIDE },
  { look: "phone-dark", colorScheme: "dark", viewport: PHONE },
  { look: "phone", colorScheme: "light", viewport: PHONE },
] as const;

const reason = missing(["chromium"]);

describe.skipIf(reason !== undefined)(`the page's views ${reason ?? ""}`, () => {
  let root = "";
  let shipped: DaemonProcess;
  let fixed: FixedDaemon;
  let browser: Browser;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "lamella-page-views-"));
    shipped = await startLamellad({ root });
    fixed = await startFixedDaemon({ pageUrl: shipped.url, port: PICTURES === undefined ? 0 : PICTURED_PORT });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await fixed?.[Symbol.asyncDispose]();
    await shipped?.[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  });

  const open = async (options: Partial<OpenOptions> = {}): Promise<WatchedPage> =>
    openPage(browser, { url: fixed.url, now: NOW, ...options });

  it.each(views)("can be read and used by everybody: $name", async ({ name, hash, pictures = [], show }) => {
    await using tab = await open({
      url: fixed.url + hash,
      reducedMotion: "reduce",
      scale: PICTURES === undefined ? 1 : 2,
    });
    const { page } = tab;
    await show(page);
    for (const { look, colorScheme, viewport } of looks) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      if (PICTURES !== undefined && pictures.includes(look))
        await picture(page, join(PICTURES, `${name}-${look}.png`), viewport === PHONE ? "device" : "css");
      // what is dark has other colours, nothing else
      const { violations, passed } = await axeVerdict(page, colorScheme === "dark" ? ["color-contrast"] : []);
      expect(violations, look).toEqual([]);
      expect(passed).toBeGreaterThan(colorScheme === "dark" ? 0 : 10);
      expect(await overflow(page), look).toBe(0);
    }
    expect(tab.faults).toEqual([]);
  });

  it("says that there is nothing, that it waits, and what went wrong", async () => {
    const cases: readonly { said: Json; words: Readonly<Record<string, string>> }[] = [
      {
        said: "hang",
        words: { images: "Loading images", queue: "Loading the queue", usage: "Loading what the store takes" },
      },
      { said: 500, words: { images: "this is a test", queue: "this is a test", usage: "this is a test" } },
      {
        said: null,
        words: { images: "no images yet", queue: "Nothing is being built", usage: "The store has no images" },
      },
    ];
    const nothing: Readonly<Record<string, Json>> = {
      images: [],
      queue: { limit: 2, active: 0, pending: 0, length: 0, images: [] },
      usage: {
        ...usage,
        images: [],
        image_bytes: 0,
        disk_bytes: 0,
        layer_bytes: 0,
        blob_bytes: 0,
        collectable_bytes: 0,
      },
    };
    for (const { said, words } of cases) {
      const instead = Object.fromEntries(
        Object.keys(words).map((view) => [`GET /${view}`, said ?? nothing[view] ?? null]),
      );
      await using daemon = await startFixedDaemon({ pageUrl: shipped.url, instead });
      await using tab = await open({ url: daemon.url, expected: /status of 500/ });
      for (const [view, text] of Object.entries(words)) {
        await tab.page.goto(`${daemon.url}#/${view}`);
        await tab.page.getByText(text).waitFor();
        expect(await tab.page.getByRole("button", { name: "Try again" }).count()).toBe(said === 500 ? 1 : 0);
        expect((await axeVerdict(tab.page)).violations).toEqual([]);
      }
      expect(tab.faults).toEqual([]);
    }
  });

  it("takes what images say for nothing but text", async () => {
    const hostile = hostileState();
    await using daemon = await startFixedDaemon({ pageUrl: shipped.url, instead: hostile.answers });
    await using tab = await open({ url: daemon.url, viewport: PHONE });
    const { page } = tab;
    const shown: string[] = [];
    for (const hash of ["#/images", "#/queue", "#/usage", hostile.hash]) {
      await page.goto(daemon.url + hash);
      await page.getByText(HOSTILE).first().waitFor();
      if (hash === hostile.hash) await page.getByRole("treeitem", { name: HOSTILE }).click();
      if (hash === "#/usage") await page.getByRole("button", { name: "Check the store" }).click();
      if (hash === "#/usage") await page.getByRole("cell", { name: HOSTILE }).nth(1).waitFor();
      shown.push((await page.textContent("main")) ?? "");
      expect(await page.locator("main :is(img, script, style, iframe)").count()).toBe(0);
      expect(await overflow(page), hash).toBe(0);
    }
    const count = shown.join("").split(HOSTILE).length - 1;
    expect(count, "places where it stands").toBeGreaterThan(12);
    expect(await page.title()).not.toBe("owned");
    expect(tab.faults).toEqual([]);
  });

  it("reads a large directory a part at a time", async () => {
    await using tab = await open({ url: fixed.url + IMAGE });
    const tree = tab.page.getByRole("tree");
    await tree.getByRole("treeitem", { name: /^var\// }).click();
    const inIt = tree.locator('[aria-level="2"]');
    await tree.getByText("Show more than 500").click();
    await tree.getByText("Show more than 1,000").waitFor();
    expect(await inIt.count()).toBe(1001);
    // the focus is where it was, or beside it: the keyboard goes on from there
    await tab.page.keyboard.press("End");
    await tab.page.keyboard.press("Enter");
    await tree.getByText(String(MANY - 1), { exact: true }).waitFor();
    expect(await inIt.count()).toBe(MANY);
    expect(tab.faults).toEqual([]);
  });

  it("goes on by itself when the daemon was away", async () => {
    await using daemon = await startFixedDaemon({ pageUrl: shipped.url });
    await using tab = await open({ url: daemon.url, expected: /ERR_/ });
    await tab.page.getByText("Live", { exact: true }).waitFor();
    const lost = tab.page.getByText("Reconnecting").waitFor();
    daemon.hangUp();
    await lost;
    await tab.page.getByText("Live", { exact: true }).waitFor();
    expect(tab.faults).toEqual([]);
  });

  it("is shown what the API says: its documents have all that theirs have, and no more", async () => {
    const { components } = (await (await fetch(new URL("openapi.json", shipped.url))).json()) as OpenApi;
    const differences = (name: string, value: Json): string[] =>
      differencesFrom({ $ref: `#/components/schemas/${name}` }, value, { at: name, schemas: components.schemas });
    expect(images.flatMap((image) => differences("Image", image))).toEqual([]);
    expect(differences("Layers", layers)).toEqual([]);
    expect(
      ["", "app", "home", "var"].flatMap((path) => differences("Files", files({ path, layer: null, ...WHOLE }))),
    ).toEqual([]);
    expect(["", "etc", "root"].flatMap((path) => differences("Files", files({ path, layer: "3", ...WHOLE })))).toEqual(
      [],
    );
    expect(differences("Queue", queue)).toEqual([]);
    expect(differences("Usage", usage)).toEqual([]);
    expect(differences("GarbageReport", garbageReport)).toEqual([]);
    expect(differences("CheckReport", checkReport)).toEqual([]);
    expect(differences("Usage", { ...usage, free_bytes: "many" })).toEqual(["Usage.free_bytes is no integer"]);
    const { cmd: _, ...rest } = images[0] as Readonly<Record<string, Json>>;
    expect(differences("Image", { ...rest, status: "fine", more: 1 })).toEqual([
      "Image.cmd is missing",
      "Image.more is unknown",
      "Image.status is none of its values",
    ]);
  });

  it("would not get away with faults", async () => {
    await using tab = await open();
    const { page, faults } = tab;
    await page.getByText("Pulling: ").waitFor();
    await page.evaluate(() => {
      const button = document.createElement("button");
      document
        .querySelector("main")
        ?.append(button, Object.assign(document.createElement("p"), { textContent: "pale" }));
      (document.querySelector("main > p") as HTMLElement).style.color = "#ddd";
    });
    const { violations } = await axeVerdict(page);
    expect(violations.some((line) => line.startsWith("button-name"))).toBe(true);
    expect(violations.some((line) => line.startsWith("color-contrast"))).toBe(true);
    await page.evaluate(() => ((document.querySelector("main > p") as HTMLElement).style.width = "3000px"));
    expect(await overflow(page)).toBeGreaterThan(1000);
    expect(faults).toEqual([]);
    await page.evaluate(() => {
      document.body.append(Object.assign(document.createElement("img"), { src: "http://elsewhere.test/x.png" }));
      const acts = [
        (): unknown => (document.createElement("div").innerHTML = "<b>markup</b>"),
        (): unknown => document.body.setAttribute("onclick", "document.title = 'owned'"),
      ];
      for (const act of acts) {
        try {
          act();
        } catch (error) {
          console.error(`refused: ${String(error)}`);
        }
      }
      document.body.click();
    });
    await expect.poll(() => faults.join("\n")).toContain("img-src http://elsewhere.test/x.png");
    const all = faults.join("\n");
    expect(all).toContain("policy: require-trusted-types-for");
    expect(all.split("refused: TypeError")).toHaveLength(3);
    expect(await page.title()).not.toBe("owned");
  });
});

/** Everything that has a name, or words of its own, in the words of somebody who means ill. */
function hostileState(): { answers: Readonly<Record<string, Json>>; hash: string } {
  const ready = images.find(({ status }) => status === "ready") as Readonly<Record<string, Json>>;
  const failed = images.find(({ status }) => status === "failed") as Readonly<Record<string, Json>>;
  const name = `registry.test/${HOSTILE}`;
  const words = { entrypoint: [HOSTILE], cmd: [HOSTILE], env: { [HOSTILE]: HOSTILE }, labels: { [HOSTILE]: HOSTILE } };
  const shown = { ...ready, ...words, name, working_dir: HOSTILE, user: HOSTILE, stop_signal: HOSTILE };
  const list = [shown, { ...failed, name, error: HOSTILE }, { ...images[0], name }];
  const path = `/images/${encodeURIComponent(name)}`;
  const entry = {
    ...(files({ path: "", layer: null, ...WHOLE })["entries"] as readonly Readonly<Record<string, Json>>[])[1],
    name: HOSTILE,
    link_target: HOSTILE,
  };
  const [layer] = layers["layers"] as readonly Readonly<Record<string, Json>>[];
  const answers = {
    "GET /images": list,
    [`GET ${path}`]: shown,
    [`GET ${path}/layers`]: { ...layers, layers: [{ ...layer, created_by: HOSTILE }] },
    [`GET ${path}/files`]: { path: "", entries: [entry], next: null },
    "GET /queue": { ...queue, images: [{ ...images[0], name }] },
    "GET /usage": {
      ...usage,
      images: [{ ...(usage["images"] as readonly Readonly<Record<string, Json>>[])[0], names: [HOSTILE] }],
    },
    "POST /check": { findings: [{ kind: HOSTILE, subject: HOSTILE, problem: HOSTILE, repair: HOSTILE }], omitted: 0 },
  } as Readonly<Record<string, Json>>;
  const parameters = new URLSearchParams({ platform: ready["platform"] as string, format: ready["format"] as string });
  return { answers, hash: `#${path}?${parameters.toString()}` };
}

/** What is looked at on a phone is looked at closely. */
async function picture(page: Page, path: string, scale: "css" | "device"): Promise<void> {
  mkdirSync(join(path, ".."), { recursive: true });
  await page.mouse.move(0, 0);
  const hasDialog = (await page.getByRole("dialog").count()) > 0;
  await page.screenshot({ path, fullPage: !hasDialog, scale, animations: "disabled", caret: "hide" });
}
