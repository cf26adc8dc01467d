/**
 * The part of this package that needs nothing of Node: for browsers, workers and any runtime with a `fetch`. What reads and writes files,
 * or runs programs, is only in the main entry.
 */
export type { PushOptions, RepositoryAddress } from "./blob-upload.js";
export {
  type Copied,
  type CopyDestination,
  copyImage,
  type CopyOptions,
  type CopyProgress,
  type CopySource,
} from "./copy.js";
export type { ImageSink } from "./image-sink.js";
export type { PushContent } from "./push.js";
export type { ReferrersOptions } from "./referrers.js";
export type { ListOptions } from "./tags.js";
export {
  anonymousCredentials,
  type BasicCredential,
  type BearerCredential,
  chainCredentials,
  type Credential,
  type Credentials,
  type CredentialTarget,
  type IdentityCredential,
  staticCredentials,
} from "./credentials.js";
export { OciClientError, type OciClientErrorCode, type OciClientErrorOptions } from "./errors.js";
export type { Timeouts } from "./exchange.js";
export { createFetchTransport, type FetchLike } from "./fetch-transport.js";
export { isLoopbackHost, type PlainHttp } from "./host.js";
export type { FetchedManifest } from "./manifest-pull.js";
export type { Mirror, MirrorCapability } from "./mirrors.js";
export type { Notice, OnNotice } from "./notice.js";
export { type ReadDocument, readPlatformManifest } from "./platform-manifest.js";
export { createRegistryClient, type RegistryClient, type RegistryClientOptions } from "./registry-client.js";
export type { FetchOptions, Repository } from "./repository.js";
export type { RetryPolicy } from "./retry.js";
export type { ResponseHeaders, Transport, TransportRequest, TransportResponse } from "./transport.js";
