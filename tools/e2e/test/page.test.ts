import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { missing } from "@lamella/oracles";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startLamellad } from "./daemon-process.js";
import { axeVerdict, launchBrowser, openPage } from "./page-browser.js";
import { HOSTILE } from "./page-fixed-state.js";
import { startSlowRegistry } from "./page-registry.js";
import type { SlowRegistry } from "./page-registry.js";

const TOKEN = "a-token-of-the-test-0123456789";

const reason = missing(["chromium", "docker-registry"]);

describe.skipIf(reason !== undefined)(`the page ${reason ?? ""}`, () => {
  let work = "";
  let registry: SlowRegistry;
  let browser: Browser;
  let stores = 0;

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), "lamella-page-"));
    registry = await startSlowRegistry(work);
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await registry?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });

  const newStore = (): string => join(work, `store-${stores++}`);

  it("creates an image, shows how far it is, what its layers do, and deletes it with all its bytes", async () => {
    await using daemon = await startLamellad({ root: newStore() });
    await using tab = await openPage(browser, { url: daemon.url });
    const { page } = tab;
    await page.getByText("There are no images yet.").waitFor();
    await create(page, registry.name);
    const seen = await progressOf(page);
    expect(seen.length, "positions of the bar").toBeGreaterThan(3);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await page.getByRole("cell", { name: "ready", exact: true }).waitFor();

    await page.getByRole("link", { name: registry.name }).click();
    const tree = page.getByRole("tree");
    await page.getByRole("radio").nth(2).check();
    await openDirectories(tree, "usr", "share", "doc");
    const removed = tree.getByRole("treeitem", { name: /^readme\s+removed/ });
    expect(await removed.locator("del").textContent()).toBe("readme");
    expect(await removed.locator(".tree-sign").textContent()).toBe("−");
    await openDirectories(tree, "etc");
    await tree.getByRole("treeitem", { name: /^motd\s+added/ }).waitFor();
    await tree.getByRole("treeitem", { name: /^passwd\s+changed/ }).waitFor();
    expect((await axeVerdict(page)).violations).toEqual([]);

    await page.getByRole("radio", { name: "All layers, merged" }).check();
    await openDirectories(tree, "opt");
    await tree.getByText(HOSTILE, { exact: true }).click();
    await tree.getByText("red", { exact: false }).waitFor();
    await page.locator("dd").getByText(HOSTILE, { exact: true }).waitFor();
    expect(await tree.getByRole("treeitem", { name: "readme" }).count()).toBe(0);
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.title()).not.toBe("owned");
    expect(await downloaded(page, () => page.getByRole("link", { name: "Download" }).last().click())).toEqual(
      Buffer.from("not markup\n"),
    );
    const disk = await downloaded(page, () => page.getByRole("link", { name: "Download" }).first().click());
    // the magic number of ext4
    expect(disk.readUInt16LE(0x438)).toBe(0xef53);

    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("There are no images yet.").waitFor();

    await page.getByRole("link", { name: "Usage" }).click();
    await page.getByRole("button", { name: "Collect garbage" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("This would go; nothing has gone yet.").waitFor();
    await dialog.getByLabel("Also what is younger than an hour").check();
    const free = dialog.getByRole("button", { name: /^Free [^0]/ });
    await free.waitFor();
    await free.click();
    await dialog.getByText("are free again").waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    await page.getByRole("row", { name: "Disks can be made again 0 B" }).waitFor();
    await page.getByRole("button", { name: "Check the store" }).click();
    await page.getByText("The store is sound.").first().waitFor();
    expect(tab.faults).toEqual([]);
  });

  it("can be used by the keyboard alone", async () => {
    await using daemon = await startLamellad({ root: newStore() });
    await using tab = await openPage(browser, { url: daemon.url });
    const { page } = tab;
    const press = async (...keys: string[]): Promise<void> => {
      for (const key of keys) await page.keyboard.press(key);
    };
    const tabTo = async (wanted: Locator): Promise<void> => {
      await wanted.waitFor();
      for (let count = 0; count < 40; count++) {
        if (await wanted.evaluate((element) => element === document.activeElement)) return;
        await press("Tab");
        expect(await hasVisibleFocus(page), "the focus can be seen").toBe(true);
      }
      throw new Error("cannot reach it with the tab key");
    };
    await tabTo(page.getByRole("button", { name: "New image" }));
    await press("Enter");
    await page.getByRole("dialog").waitFor();
    await press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await tabTo(page.getByRole("button", { name: "New image" }));
    await press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.type(registry.name);
    await press("Enter");
    await page.getByRole("cell", { name: "ready", exact: true }).waitFor();
    await tabTo(page.getByRole("link", { name: registry.name }));
    await press("Enter");

    const tree = page.getByRole("tree");
    const active = async (): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? "");
    await tabTo(tree.getByRole("treeitem").first());
    // who is there before the files are is with the first of them then
    await expect.poll(active).toMatch(/^etc\//);
    await press("End");
    expect(await active()).toMatch(/^usr\//);
    await press("ArrowRight");
    await tree.getByRole("treeitem", { name: /^lib\// }).waitFor();
    await press("ArrowRight");
    expect(await active()).toMatch(/^lib\//);
    await press("ArrowLeft", "ArrowLeft");
    expect(await active()).toMatch(/^usr\//);
    expect(await tree.getByRole("treeitem", { name: /^lib\// }).count()).toBe(0);
    await press("Home", "o");
    expect(await active()).toMatch(/^opt\//);

    await tabTo(page.getByRole("radio", { name: "All layers, merged" }));
    await press("ArrowDown", "ArrowDown");
    await page.getByRole("heading", { name: "What layer 1 changes" }).waitFor();

    await tabTo(page.getByRole("button", { name: "Delete" }));
    await press("Enter");
    await page.getByRole("dialog").waitFor();
    expect(await active()).toBe("Keep it");
    await press("Tab", "Enter");
    await page.getByText("There are no images yet.").waitFor();
    expect(tab.faults).toEqual([]);
  });

  it("cancels a build, and asks for it again", async () => {
    await using daemon = await startLamellad({ root: newStore() });
    await using tab = await openPage(browser, { url: daemon.url });
    const { page } = tab;
    using held = registry.hold();
    await create(page, registry.name);
    await page.getByRole("cell", { name: "pulling", exact: true }).waitFor();
    await page.getByRole("link", { name: "Queue" }).click();
    await page.getByText("1 build under way").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Nothing is being built.").waitFor();
    await page.getByRole("link", { name: "Images" }).click();
    await page.getByRole("cell", { name: "cancelled", exact: true }).waitFor();
    held[Symbol.dispose]();
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("cell", { name: "ready", exact: true }).waitFor();
    expect(tab.faults).toEqual([]);
  });

  it("says what could not be done where it was asked for", async () => {
    await using daemon = await startLamellad({ root: newStore() });
    // a browser writes an error for each answer that is one
    await using tab = await openPage(browser, { url: daemon.url, expected: /status of (400|404|422|502)/ });
    const { page } = tab;
    await page.getByRole("button", { name: "New image" }).click();
    const dialog = page.getByRole("dialog");
    for (const name of [registry.name.replace("app:v1", "none:v1"), "No Such Name"]) {
      await dialog.getByLabel("Name", { exact: true }).fill(name);
      await dialog.getByRole("button", { name: "Create" }).click();
      await dialog.getByRole("alert").getByText("cannot ").waitFor();
    }
    expect(tab.faults).toEqual([]);
  });

  it("asks for the token, keeps it while the tab is open, and never shows it", async () => {
    const file = join(work, "token");
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    await using daemon = await startLamellad({ root: newStore(), flags: ["--token-file", file] });
    await using tab = await openPage(browser, { url: daemon.url, expected: /status of 401/ });
    const { page } = tab;
    const dialog = page.getByRole("dialog", { name: "This daemon asks for its token" });
    const enter = async (token: string): Promise<void> => {
      await dialog.getByLabel("Token").fill(token);
      await dialog.getByRole("button", { name: "Continue" }).click();
    };
    await enter("not-the-token");
    await dialog.getByText("The daemon does not take this token.").waitFor();
    await enter(TOKEN);
    await page.getByText("There are no images yet.").waitFor();
    await page.reload();
    await page.getByText("There are no images yet.").waitFor();
    await create(page, registry.name);
    await page.getByRole("cell", { name: "ready", exact: true }).waitFor();
    await page.getByRole("link", { name: registry.name }).click();
    const command = await page.locator(".copy-line code").textContent();
    expect(command).toContain('-H "Authorization: Bearer $LAMELLAD_TOKEN"');
    await page
      .getByRole("tree")
      .getByRole("treeitem", { name: /^etc\// })
      .waitFor();
    expect(await page.getByRole("link", { name: "Download" }).count()).toBe(0);
    expect(await page.content()).not.toContain(TOKEN);
    await page.getByRole("button", { name: "Forget token" }).click();
    await dialog.waitFor();
    expect(await page.getByRole("treeitem", { name: /^etc\// }).count()).toBe(0);
    expect(tab.faults).toEqual([]);
  });
});

async function create(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name: "New image" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill(name);
  await dialog.getByLabel("Format").selectOption("ext4");
  await dialog.getByRole("button", { name: "Create" }).click();
  await dialog.waitFor({ state: "detached" });
}

/** The positions that the bar has been at while layers were pulled, until it goes. */
async function progressOf(page: Page): Promise<number[]> {
  const bar = page.getByRole("progressbar", { name: "Pulling" });
  await bar.waitFor();
  return bar.evaluate(async (element) => {
    const seen = new Set<number>();
    while (element.isConnected && element.getAttribute("aria-label") === "Pulling") {
      if (element.hasAttribute("value")) seen.add((element as HTMLProgressElement).value);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    return [...seen];
  });
}

async function openDirectories(tree: Locator, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const item = tree.getByRole("treeitem", { name: `${name}/` });
    await item.waitFor();
    if ((await item.getAttribute("aria-expanded")) === "false") await item.click();
  }
}

async function downloaded(page: Page, act: () => Promise<void>): Promise<Buffer> {
  const [download] = await Promise.all([page.waitForEvent("download"), act()]);
  return readFileSync(await download.path());
}

async function hasVisibleFocus(page: Page): Promise<boolean> {
  return page.evaluate(() => {
    const { activeElement } = document;
    if (activeElement === null || activeElement === document.body) return true;
    const { outlineStyle, outlineWidth } = getComputedStyle(activeElement);
    return outlineStyle !== "none" && outlineWidth !== "0px";
  });
}
