/// <reference lib="dom" />
import { createRequire } from "node:module";

import { requireTool } from "@lamella/oracles";
import { chromium } from "playwright-core";
import type { Browser, BrowserContext, Page } from "playwright-core";

const require = createRequire(import.meta.url);
const AXE = require.resolve("axe-core/axe.min.js");

/** Each test has its own browser context: no storage, no cache of another. */
export async function launchBrowser(): Promise<Browser> {
  // what is sandboxed by Chromium itself cannot be run by root
  return chromium.launch({ executablePath: requireTool("chromium"), args: ["--no-sandbox", "--headless"] });
}

export const WIDE = { width: 1280, height: 860 } as const;
export const PHONE = { width: 360, height: 740 } as const;

export interface OpenOptions {
  readonly url: string;
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: "light" | "dark";
  /** What `Date.now()` says. */
  readonly now?: Date;
  /** Errors of the console that are meant to be, as the one that a browser writes of each 401. */
  readonly expected?: RegExp;
  readonly scale?: number;
  /** Colours then change at once. */
  readonly reducedMotion?: "reduce" | "no-preference";
}

/** A tab in which nothing may go wrong. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  /** Errors of scripts and of the console, what the policy has refused, and requests to other hosts. */
  readonly faults: readonly string[];
}

export async function openPage(browser: Browser, options: OpenOptions): Promise<WatchedPage> {
  const {
    url,
    viewport = WIDE,
    colorScheme = "light",
    now,
    expected,
    scale = 1,
    reducedMotion = "no-preference",
  } = options;
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion, deviceScaleFactor: scale });
  const { origin } = new URL(url);
  const faults: string[] = [];
  await watch(context, origin, faults);
  const page = await context.newPage();
  if (now !== undefined) await page.clock.setFixedTime(now);
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && expected?.test(text) !== true) faults.push(`console: ${text}`);
  });
  await page.goto(url);
  return { page, faults, [Symbol.asyncDispose]: () => context.close() };
}

async function watch(context: BrowserContext, origin: string, faults: string[]): Promise<void> {
  await context.addInitScript({ path: AXE });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      console.error(`policy: ${violatedDirective} ${blockedURI}`);
    });
  });
  await context.route("**", async (route) => {
    if (new URL(route.request().url()).origin === origin) return route.continue();
    faults.push(`request: ${route.request().url()}`);
    return route.abort();
  });
}

interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string | null;
    readonly help: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
  readonly passes: readonly unknown[];
}

interface Axe {
  run(context: Document, options: object): Promise<AxeResults>;
}

export interface AxeVerdict {
  /** What is serious or critical, in a line each. */
  readonly violations: readonly string[];
  /** How many rules had something to look at, and found it good. */
  readonly passed: number;
}

/** Judges the page as it is now by the rules of axe-core, or by those named. */
export async function axeVerdict(page: Page, rules: readonly string[] = []): Promise<AxeVerdict> {
  const options = rules.length === 0 ? {} : { runOnly: [...rules] };
  const results = await page.evaluate(
    async (given) => (globalThis as unknown as { axe: Axe }).axe.run(document, given),
    options,
  );
  const grave = results.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const violations = grave.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary = "" }) => `${id}: ${help}: ${html} ${failureSummary}`),
  );
  return { violations, passed: results.passes.length };
}

/** How many pixels the page is wider than the window. */
export async function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
