/** Stands in for `node:process`: to load that is to make all of it, stdin too. */
module.exports = process;
