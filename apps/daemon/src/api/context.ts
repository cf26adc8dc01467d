import type { BuildEvent, DiskRequest, ImageManager, ImageStore } from "@lamella/image-store";
import type { CallOptions, Platform } from "@lamella/refs";
import type { Snapshotter } from "@lamella/snapshot";
import type { z } from "@hono/zod-openapi";

import type { OpenImages } from "../open-images.js";
import type { NbdAttachment, Progress } from "./schemas.js";

/** What the routes of the HTTP API work with. */
export interface ApiContext {
  readonly store: ImageStore;
  readonly manager: ImageManager;
  readonly events: EventLog;
  readonly attachments: NbdAttachments;
  readonly pushed: PushedImages;
  /** For images for which nobody gives them. */
  readonly defaults: ImageDefaults;
  /** Those that are looked into. */
  readonly openImages: OpenImages;
  /** Opens the snapshots of the store, once; they stay open until the daemon stops. */
  readonly openSnapshots: (options?: CallOptions) => Promise<Snapshotter>;
  /** Aborts when the daemon stops: answers that would go on end then. */
  readonly stopping: AbortSignal;
  /** Which Lamella this is. */
  readonly version: string;
  /** Is told of each error that is not its client's fault; the client gets a 500 without details. */
  readonly onError: (error: unknown) => void;
}

export interface ImageDefaults {
  readonly platform: Platform;
  readonly disk: DiskRequest;
}

/** What happens to the builds of this daemon, with the latest of what has happened. */
export interface EventLog extends AsyncDisposable {
  /**
   * From after the event of that id, if it is still known, else from now on; until the signal aborts or the daemon stops. Whoever is slow gets of the progress
   * of one thing only the latest; whoever is too slow even for that is sent away: after what it has missed the events end.
   */
  listen(options?: ListenOptions): AsyncIterable<LoggedEvent>;
  /** Of the last event that there was. */
  readonly latest: string;
  /** How many listen. */
  readonly listening: number;
  /** Whether nothing is lost to whoever goes on after the event of that id. */
  knows(id: string): boolean;
  /** How far a build is, if this daemon is at it. */
  progressOf(buildId: number): z.infer<typeof Progress> | undefined;
}

export interface ListenOptions extends CallOptions {
  readonly after?: string | undefined;
  /** Only of the image of this name. */
  readonly name?: string | undefined;
}

export interface LoggedEvent {
  /** Opaque; other daemons and other runs of this one have others. */
  readonly id: string;
  readonly event: BuildEvent;
}

/** Disks that are served as block devices, each under its key on one unix socket. What is attached is held against garbage collection. */
export interface NbdAttachments extends AsyncDisposable {
  /** Attaching what is attached already changes nothing. Throws `not_found`. */
  attach(key: string, options?: CallOptions): Promise<z.infer<typeof NbdAttachment>>;
  /** Hangs up its clients. False where it is not attached. */
  detach(key: string, options?: CallOptions): Promise<boolean>;
  list(): readonly z.infer<typeof NbdAttachment>[];
}

/** What is pushed to the registry as `app:v1` is the image `localhost/app:v1`, as podman names what has no registry. */
export interface PushedImages {
  /** Asks for the image that a tag was pushed of. */
  pushed(repository: string, tag: string, digest: string, options?: CallOptions): Promise<void>;
  /** Takes the tag of an image that is deleted from the registry. Other names are none of its. */
  forget(name: string, options?: CallOptions): Promise<void>;
}
