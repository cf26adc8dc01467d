/** Stands in for `node:crypto` where the store imports it, which few commands use: it takes as long to load as the database to open. */
const crypto = () => process.getBuiltinModule("node:crypto");

export const createHash = (...args) => crypto().createHash(...args);
export const randomBytes = (...args) => crypto().randomBytes(...args);
export const randomUUID = (...args) => crypto().randomUUID(...args);
