/** A process of clients, forked by `daemon.mjs`: it gets one job as a message and gives back what happened. */
import { setTimeout as sleep } from "node:timers/promises";

import { pullAll } from "./daemon-pull.mjs";
import { pushAll } from "./daemon-push.mjs";

const JOBS = { pull: pullAll, push: pushAll, ask: askAll };
const LIST_PAUSE_MS = 200;

process.once("message", async ({ kind, ...job }) => {
  const result = await JOBS[kind](job);
  process.send(result, () => process.disconnect());
});

/** Asks for images, one request after another spread over the time whether or not they are answered, and lists all images meanwhile. */
async function askAll({ url, names, requests, seconds }) {
  const total = { asked: 0, askMs: [], listMs: [], errors: [] };
  const measure = async (times, path, init) => {
    const started = performance.now();
    try {
      const response = await fetch(url + path, init);
      const text = await response.text();
      times.push(performance.now() - started);
      if (!response.ok) total.errors.push(`${path}: ${response.status} ${text.slice(0, 500)}`);
    } catch (error) {
      total.errors.push(`${path}: ${error.cause?.message ?? error.message}`);
    }
  };
  const until = performance.now() + seconds * 1000;
  const list = async () => {
    while (performance.now() < until) {
      await measure(total.listMs, "/images");
      await sleep(LIST_PAUSE_MS);
    }
  };
  const ask = async () => {
    const answers = [];
    const headers = { "Content-Type": "application/json" };
    for (const started = performance.now(); total.asked < requests;) {
      const any = names[Math.floor(Math.random() * names.length)];
      // each of them once for certain
      const body = JSON.stringify({ name: names[total.asked++] ?? any });
      answers.push(measure(total.askMs, "/images", { method: "POST", headers, body }));
      await sleep(Math.max(0, started + (total.asked / requests) * seconds * 1000 - performance.now()));
    }
    await Promise.all(answers);
  };
  await Promise.all([list(), ask()]);
  return total;
}
