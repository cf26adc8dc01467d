import { isIPv6 } from "node:net";

import { openImageStore } from "@lamella/image-store";
import { hostPlatform } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";
import { createRegistry } from "@lamella/registry";

import { keepToken } from "./access-token.js";
import type { ImageDefaults } from "./api/context.js";
import { openApi } from "./api/open-api-service.js";
import { createApp } from "./app.js";
import { createConnectionLimit } from "./connection-limit.js";
import { DaemonError } from "./errors.js";
import { MAX_CONNECTIONS, startHttpServer } from "./http-server.js";
import type { Bound, HttpServer, TlsPair } from "./http-server.js";
import { openImageManager } from "./image-manager.js";
import type { BuildOptions } from "./image-manager.js";
import { isLoopbackHost } from "./listen-address.js";
import type { ListenAddress } from "./listen-address.js";
import { buildLog, silentLog } from "./logging.js";
import type { Logger } from "./logging.js";
import { createMetrics } from "./metrics.js";
import { observeRequests } from "./observation.js";
import { createOpenImages } from "./open-images.js";
import { pageRoutes } from "./page.js";
import type { Settings } from "./read-settings.js";
import { storeRegistryStorage } from "./registry-storage.js";
import { lazySnapshots } from "./snapshots.js";
import { createTokenGuard } from "./token-guard.js";
import { joinHooks, traceBuilds } from "./tracing.js";

export interface DaemonOptions {
  /** The store's directory, made if need be. */
  readonly root: string;
  readonly listen: readonly ListenAddress[];
  /** Is told of what went wrong on our side. */
  readonly onError: (error: unknown) => void;
  /** What clients show, on unix sockets too. Without, TCP takes one that is made and kept in the store's directory, and unix sockets none. */
  readonly token?: string | undefined;
  /** Instead of a token: none on TCP, on loopback only. */
  readonly noToken?: boolean;
  readonly tls?: TlsPair | undefined;
  readonly builds?: BuildOptions;
  readonly defaults?: ImageDefaults;
  readonly snapshotDriver?: Settings["snapshotDriver"];
  readonly metrics?: boolean;
  readonly log?: Logger;
  readonly environment?: NodeJS.ProcessEnv;
  readonly version?: string;
}

export interface Daemon {
  /** What was bound, in the order that was asked for: `http://127.0.0.1:5080`, `unix:/path`. */
  readonly urls: readonly string[];
  /** The first of them. */
  readonly url: string;
  /** Where the token is that was made. */
  readonly tokenFile: string | undefined;
  /** Once the builds that were interrupted are taken over. Rejects where that is not possible, and never after `stop` has begun. */
  readonly ready: Promise<void>;
  /** Rejects unless the database answers. */
  probe(options?: CallOptions): Promise<void>;
  /**
   * Takes no more connections, ends the answers that would go on, finishes the requests that have begun and cuts those that take longer than `graceMs`. Gives up
   * unfinished uploads; builds are left to whoever starts next. Then the store is closed. A second call waits for the first.
   */
  stop(graceMs: number): Promise<void>;
}

/** Opens the store and serves it. Throws what {@link startHttpServer} and the store throw, and `listen_exposed`. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { root, builds = {}, log = silentLog(), environment = {}, snapshotDriver = "tree" } = options;
  const { defaults = { platform: hostPlatform(), disk: { format: "ext4" } }, version = "0.0.0" } = options;
  const stopping = new AbortController();
  const metrics = options.metrics === false ? undefined : createMetrics();
  const onError = (error: unknown): void => {
    metrics?.failed();
    options.onError(error);
  };
  /** In the order in which it was opened. */
  const open: AsyncDisposable[] = [];
  const servers: HttpServer[] = [];
  const closeAll = async (graceMs: number): Promise<void> => {
    metrics?.[Symbol.dispose]();
    await Promise.all(servers.map((server) => server.close(graceMs)));
    const failures: unknown[] = [];
    for (const resource of open.toReversed()) {
      await resource[Symbol.asyncDispose]().then(undefined, (error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    const store = opened(open, await openImageStore(root));
    // what is closed before it may still write
    opened(open, { [Symbol.asyncDispose]: () => store.database.checkpoint() });
    const snapshots = opened(open, lazySnapshots(root, snapshotDriver));
    const openImages = opened(open, createOpenImages(store, { onError }));
    const hooks = joinHooks([buildLog(log), traceBuilds(), ...(metrics === undefined ? [] : [metrics.hooks])]);
    const manager = opened(open, await openImageManager(store, builds, { hooks, environment }));
    const service = openApi(store, manager, {
      defaults,
      openImages,
      openSnapshots: snapshots.open,
      stopping: stopping.signal,
      version,
      onError,
    });
    opened(open, service);
    const storage = opened(open, storeRegistryStorage(store, { onTag: service.tagged }));

    const connections = createConnectionLimit(MAX_CONNECTIONS, metrics?.cut);
    metrics?.watch({ store, manager, connections: () => connections.count });
    let begin: ((answer: Answer) => void) | undefined;
    // who comes before it is known what is asked of whom, waits
    const answer = new Promise<Answer>((resolve) => (begin = resolve));
    for (const address of options.listen) {
      const fetch: Answer = async (request, bound) => (await answer)(request, bound);
      servers.push(await startHttpServer({ fetch, address, tls: options.tls, connections, onError }));
    }
    const access = await accessOf(servers, options);
    for (const { url, bound } of servers) {
      const isPlain = bound.kind === "tcp" && !isLoopback(bound) && options.tls === undefined;
      if (isPlain) log.warn({ url }, "other machines are answered without TLS: whoever is between can read the token");
    }
    const guard = access.token === undefined ? undefined : createTokenGuard(access.token);
    let isReady = false;
    const common = {
      registry: createRegistry({ storage, onError, ...(guard !== undefined && { authorize: guard.authorize }) }),
      isReady: () => isReady && !stopping.signal.aborted,
      routes: [service.api, pageRoutes()],
      observe: observeRequests(log, metrics),
      metrics,
      onError,
    };
    const apps = {
      tcp: createApp({
        ...common,
        loopbackOnly: guard === undefined,
        guard: guard && { token: guard, isAsked: true },
      }),
      unix: createApp({
        ...common,
        loopbackOnly: false,
        guard: guard && { token: guard, isAsked: options.token !== undefined },
      }),
    };
    begin?.((request, { kind }) => apps[kind](request));

    const recover = async (): Promise<void> => {
      const taken = await manager.recoverInterruptedBuilds({ signal: stopping.signal });
      for (const { id } of taken) log.info({ build: id }, "taken over");
      isReady = true;
    };
    const ready = recover();
    // whoever does not wait for it hears of it by stop() at the latest
    ready.catch(() => {});
    const [url = ""] = servers.map((server) => server.url);
    let stopped: Promise<void> | undefined;
    return {
      url,
      urls: servers.map((server) => server.url),
      tokenFile: access.file,
      ready,
      probe: async ({ signal } = {}) => {
        await store.tags({ limit: 1 }, { signal });
      },
      stop(graceMs) {
        stopping.abort(new DaemonError("stopping", "cannot go on: the daemon stops"));
        return (stopped ??= closeAll(graceMs));
      },
    };
  } catch (error) {
    await closeAll(0);
    throw error;
  }
}

type Answer = (request: Request, bound: Bound) => Promise<Response>;

function opened<Resource extends AsyncDisposable>(open: AsyncDisposable[], resource: Resource): Resource {
  open.push(resource);
  return resource;
}

/** The token that is asked for, and where it is kept if it was made. Throws `listen_exposed`. */
async function accessOf(
  servers: readonly HttpServer[],
  { root, token, noToken = false }: DaemonOptions,
): Promise<{ token?: string; file?: string }> {
  const byTcp = servers.filter(({ bound }) => bound.kind === "tcp");
  if (noToken) {
    const exposed = byTcp.find(({ bound }) => !isLoopback(bound));
    if (exposed === undefined) return {};
    throw new DaemonError(
      "listen_exposed",
      `cannot listen on ${exposed.url}: other machines could reach it without a token`,
    );
  }
  if (token !== undefined) return { token };
  return byTcp.length === 0 ? {} : keepToken(root);
}

function isLoopback({ host }: Bound): boolean {
  return isLoopbackHost(isIPv6(host) ? `[${host}]` : host);
}
