/** Everything of the portable entry, and what needs Node: files, archives, credential helpers, connections of our own. */
export * from "./portable.js";
export {
  downloadBlobToFile,
  type FileDownload,
  type FileDownloadOptions,
  type FileDownloadProgress,
} from "./blob-file.js";
export {
  eraseCredential,
  type CredentialPlace,
  type CredentialStoreOptions,
  storeCredential,
} from "./credential-store.js";
export { configuredHosts, type ConfiguredHosts, type ConfiguredHostsOptions } from "./configured-hosts.js";
export {
  defaultCredentials,
  defaultCredentialsPath,
  type Environment,
  environmentCredentials,
} from "./credentials-default.js";
export { fileCredentials, type FileCredentialsOptions } from "./credentials-file.js";
export { type DockerArchive, openDockerArchive } from "./docker-archive.js";
export { createDockerArchive } from "./docker-archive-writer.js";
// the client of the main entry brings its own transport
export { createRegistryClient, type RegistryClientOptions } from "./http-client.js";
export type { ProxySettings, TlsIdentity } from "./http-transport.js";
export { type HostsOptions, readHostsDirectory } from "./hosts-directory.js";
export { type HostsConfig, parseHostsToml, type TlsFiles } from "./hosts-toml.js";
export { addToLayoutIndex, removeFromLayoutIndex } from "./layout-index.js";
export { type OciArchive, openOciArchive } from "./oci-archive.js";
export { type ArchiveSink, createOciArchive } from "./oci-archive-writer.js";
export { type OciLayout, openOciLayout } from "./oci-layout.js";
export { createOciLayout, type WritableOciLayout } from "./oci-layout-writer.js";
