// A process that works on snapshots until it is killed: node snapshotter-process.mjs DIRECTORY WORK
import { createDirectoryDriver, createSnapshotter } from "@lamella/snapshot/node";

const [directory, work] = process.argv.slice(2);
const driver = createDirectoryDriver();
const forever = () => new Promise(() => setInterval(() => undefined, 1000));
const say = (text) => process.stdout.write(`${text}\n`);

async function stay(state) {
  say(state);
  await forever();
}

/** An empty tar, and then the rest of it never comes. */
async function* endless() {
  yield new Uint8Array(512);
  await stay("applying");
}

const empty = () => [new Uint8Array(1024)];

const works = {
  async making() {
    const slow = { ...driver, create: (place, options) => driver.create(place, options).then(() => stay("making")) };
    await (await createSnapshotter(directory, slow)).prepare("key", "parent");
  },
  async applying() {
    await (await createSnapshotter(directory, driver)).apply("key", endless());
  },
  async committing() {
    const slow = {
      ...driver,
      commit: (place, options) => driver.commit(place, options).then(() => stay("committing")),
    };
    await (await createSnapshotter(directory, slow)).commit("name", "key");
  },
  async exclusively() {
    await (await createSnapshotter(directory, driver)).exclusively("name", () => stay("exclusively"));
  },
  async removing() {
    const snapshotter = await createSnapshotter(directory, driver);
    say("removing");
    for (let round = 0; round < 10; round++) {
      const removed = await snapshotter.remove(`parent ${round}`).then(
        () => "removed",
        (error) => error.code,
      );
      say(`${round} ${removed}`);
    }
    await snapshotter[Symbol.asyncDispose]();
  },
  async chain() {
    const snapshotter = await createSnapshotter(directory, driver);
    say("chain");
    for (let layer = 0; ; layer++) {
      const parent = layer === 0 ? undefined : `layer ${layer - 1}`;
      const there = await snapshotter.stat(`layer ${layer}`).catch(() => undefined);
      if (there !== undefined) continue;
      const key = `${process.pid} ${layer}`;
      await snapshotter.prepare(key, parent);
      await snapshotter.apply(key, empty());
      await snapshotter.commit(`layer ${layer}`, key);
    }
  },
};

await works[work]();
