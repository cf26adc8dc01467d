/** One HTTP request. Redirects are not followed, answers not decoded. */
export interface TransportRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** Whether a server gave the address, not the user: a transport that resolves names must not let it lead to a link-local address. */
  readonly isLed?: boolean | undefined;
  /** Whether each chunk of the answer is only looked at until the next one is asked for: its memory may then serve again. */
  readonly isLent?: boolean | undefined;
  /** Ends the exchange at any time, the body of the response included. */
  readonly signal: AbortSignal;
}

/** Those of an answer, as {@link Headers} has them and others may give them: by a name in lower case, what came more than once with commas between. */
export interface ResponseHeaders {
  get(name: string): string | null;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** Iterated at most once; ending the iteration early frees the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** How bytes travel. The client brings its own over HTTP; another may speak through a proxy or to a server in the same process. */
export interface Transport {
  request(request: TransportRequest): Promise<TransportResponse>;
  /** Ends what is under way and frees all connections. May be called twice. */
  close(): Promise<void>;
}
