export { RegistryError } from "./errors.js";
export type { RegistryErrorCode } from "./errors.js";
export { createRegistry } from "./registry.js";
export type { Registry, RegistryOptions } from "./registry.js";
export type {
  AppendOptions,
  BlobRange,
  BlobStorage,
  ManifestStorage,
  Page,
  PutManifestOptions,
  RegistryStorage,
  Upload,
  UploadStorage,
} from "./storage.js";
export type { UploadSink } from "./upload-session.js";
export { createUploadSessions } from "./upload-sessions.js";
export type { UploadSessions, UploadSessionsOptions } from "./upload-sessions.js";
