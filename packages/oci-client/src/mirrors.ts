import { type CallOptions, isDigest, isDocumentType, quote, type Reference } from "@lamella/refs";

import { OciClientError } from "./errors.js";
import { registryUrl } from "./host.js";
import { openRepository, type Repository } from "./repository.js";
import { type ClientContext, openSession, type Session } from "./session.js";

/** `pull`: content by digest; `resolve`: what a tag means now, which only a mirror that is kept in step can say. */
export type MirrorCapability = "pull" | "resolve";

/** Another registry that holds the same repositories. */
export interface Mirror {
  /**
   * Its root, `https://mirror.example`, or with `/v2/` and a prefix that it puts before every repository:
   * `https://mirror.example/v2/docker-hub`. With `http://` it is asked over plain HTTP.
   */
  readonly url: string;
  readonly capabilities: readonly MirrorCapability[];
}

interface OpenMirror {
  readonly session: Session;
  readonly capabilities: readonly MirrorCapability[];
}

/** @param repository What it is a mirror of. @throws {OciClientError} `address_invalid` for a URL that is none of the two forms */
export function openMirror(
  context: ClientContext,
  { url: text, capabilities }: Mirror,
  { domain, path }: Pick<Reference, "domain" | "path">,
): OpenMirror {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const prefix = /^\/(?:v2\/?|v2\/(?<prefix>[a-z0-9][a-z0-9._/-]*[a-z0-9])\/?)?$/.exec(url?.pathname ?? "x");
  const isHttp = url?.protocol === "https:" || url?.protocol === "http:";
  if (url === undefined || !isHttp || prefix === null || url.username + url.password + url.search + url.hash !== "") {
    const state = "not http(s)://HOST or http(s)://HOST/v2/PREFIX";
    throw new OciClientError("address_invalid", `cannot use mirror ${quote(text)}: ${state}`);
  }
  const { host } = url;
  const isPlain = url.protocol === "http:";
  const plainHttp = (other: string): boolean => (isPlain && other === host) || context.plainHttp(other);
  const mirrored = prefix.groups?.["prefix"] === undefined ? path : `${prefix.groups["prefix"]}/${path}`;
  const isItself = registryUrl(domain, context.plainHttp).host === host;
  const namespace = isItself ? undefined : domain;
  const repository = { domain: host, path: mirrored };
  const session = openSession({ ...context, plainHttp }, new URL("/", url), repository, { namespace });
  return { session, capabilities };
}

/**
 * A repository whose content is read from its mirrors, in their order, and from the registry itself when none of them can serve.
 * Everything else, tags and pushes, is the registry's. A mirror that fails is told of as a notice.
 */
export function openMirroredRepository(registry: Session, mirrors: readonly OpenMirror[]): Repository {
  const blobSources = mirrors.filter(({ capabilities }) => capabilities.includes("pull")).map(({ session }) => session);
  const own = openRepository(registry, [...blobSources, registry]);
  const opened = mirrors.map((mirror) => ({ ...mirror, repository: openRepository(mirror.session) }));

  async function firstToServe<Result>(
    capability: MirrorCapability,
    read: (repository: Repository) => Promise<Result>,
    { signal }: CallOptions,
  ): Promise<Result> {
    for (const { session, capabilities, repository } of opened) {
      if (!capabilities.includes(capability)) continue;
      try {
        return await read(repository);
      } catch (error) {
        if (signal?.aborted === true) throw error;
        session.context.onNotice({ kind: "mirror_failed", host: session.registry.host, error });
      }
    }
    return read(own);
  }

  const capabilityFor = (name: string): MirrorCapability => (isDigest(name) ? "pull" : "resolve");
  const repository: Repository = {
    ...own,
    resolve: async (name, options = {}) =>
      firstToServe(capabilityFor(name), (source) => source.resolve(name, options), options),
    fetchManifest: async (name, options = {}) => {
      const capability = typeof name === "string" ? capabilityFor(name) : "pull";
      return firstToServe(capability, (source) => source.fetchManifest(name, options), options);
    },
    async *fetch(descriptor, options = {}) {
      options.signal?.throwIfAborted();
      if (isDocumentType(descriptor.mediaType)) yield (await repository.fetchManifest(descriptor, options)).bytes;
      else yield* own.fetch(descriptor, options);
    },
  };
  return repository;
}
