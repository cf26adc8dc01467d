export {
  downloadBlobToFile,
  type FileDownload,
  type FileDownloadOptions,
  type FileDownloadProgress,
} from "./blob-file.js";
export type { BlobRange, RangeFetcher } from "./blob-range.js";
export type { PushOptions, RepositoryAddress } from "./blob-upload.js";
export {
  type Copied,
  type CopyDestination,
  copyImage,
  type CopyOptions,
  type CopyProgress,
  type CopySource,
} from "./copy.js";
export {
  eraseCredential,
  type CredentialPlace,
  type CredentialStoreOptions,
  storeCredential,
} from "./credential-store.js";
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
export {
  defaultCredentials,
  defaultCredentialsPath,
  type Environment,
  environmentCredentials,
} from "./credentials-default.js";
export { fileCredentials, type FileCredentialsOptions } from "./credentials-file.js";
export { type DockerArchive, openDockerArchive } from "./docker-archive.js";
export { createDockerArchive } from "./docker-archive-writer.js";
export { OciClientError, type OciClientErrorCode, type OciClientErrorOptions } from "./errors.js";
export type { Timeouts } from "./exchange.js";
export { createFetchTransport, type FetchLike } from "./fetch-transport.js";
export { isLoopbackHost, type PlainHttp } from "./host.js";
export { createRegistryClient, type RegistryClientOptions } from "./http-client.js";
export type { ProxySettings, TlsIdentity } from "./http-transport.js";
export { type HostsOptions, readHostsDirectory } from "./hosts-directory.js";
export { type HostsConfig, parseHostsToml, type TlsFiles } from "./hosts-toml.js";
export type { ImageSink } from "./image-sink.js";
export type { FetchedManifest } from "./manifest-pull.js";
export type { Mirror, MirrorCapability } from "./mirrors.js";
export type { Notice, OnNotice } from "./notice.js";
export { type OciArchive, openOciArchive } from "./oci-archive.js";
export { type ArchiveSink, createOciArchive } from "./oci-archive-writer.js";
export { type OciLayout, openOciLayout } from "./oci-layout.js";
export { createOciLayout, type WritableOciLayout } from "./oci-layout-writer.js";
export type { PushContent } from "./push.js";
export type { ReferrersOptions } from "./referrers.js";
export type { RegistryClient } from "./registry-client.js";
export type { Repository } from "./repository.js";
export type { RetryPolicy } from "./retry.js";
export type { ListOptions } from "./tags.js";
export type { Transport, TransportRequest, TransportResponse } from "./transport.js";
