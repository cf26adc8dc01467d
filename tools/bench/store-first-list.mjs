/** Prints how many milliseconds a process needs that has just begun, from opening the store of a directory to the end of its first list. */
import { openImageStore } from "@lamella/image-store";

const started = performance.now();
const store = await openImageStore(process.argv[2]);
for await (const image of store.list()) void image;
console.log(performance.now() - started);
await store[Symbol.asyncDispose]();
