/** What the directory of `npm run bench fuse` holds. */
const DIRECTORIES = 100;
const FILES = 200;

export const BIG_FILE = "big";

export function smallFiles() {
  return Array.from({ length: DIRECTORIES * FILES }, (_, at) => `${Math.floor(at / FILES)}/file-${at % FILES}.js`);
}
