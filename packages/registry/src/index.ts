export type { Access, AccessAction, Authorize, Refusal } from "./access.js";
export { staticAccounts } from "./accounts.js";
export type { Account, Accounts, Login, Permission, StaticAccountsOptions } from "./accounts.js";
export { createBasicAuthority } from "./basic-authority.js";
export type { BasicAuthorityOptions } from "./basic-authority.js";
export { RegistryError } from "./errors.js";
export type { RegistryErrorCode } from "./errors.js";
export type { RegistryLimits } from "./limits.js";
export { createRegistry } from "./registry.js";
export type { Registry, RegistryOptions } from "./registry.js";
export { equalSecrets } from "./secret-comparison.js";
export type { Deletion } from "./service.js";
export type {
  AppendOptions,
  BlobRange,
  BlobStorage,
  ManifestStorage,
  MountOptions,
  Page,
  PutManifestOptions,
  RegistryStorage,
  Upload,
  UploadStorage,
} from "./storage.js";
export { createTokenAuthority } from "./token-authority.js";
export type { TokenAuthority, TokenAuthorityOptions } from "./token-authority.js";
export type { UploadSink } from "./upload-session.js";
export { createUploadSessions } from "./upload-sessions.js";
export type { UploadSessions, UploadSessionsOptions } from "./upload-sessions.js";
