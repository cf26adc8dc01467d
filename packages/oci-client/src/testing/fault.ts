/** What goes wrong with one exchange. Byte counts are of the answer's body. */
export type FaultAction =
  /** The connection breaks: before the headers, or after so many bytes of the body. */
  | { readonly kind: "reset"; readonly afterBytes?: number }
  /** The body ends early as if it were whole: its headers promise no more. */
  | { readonly kind: "truncate"; readonly afterBytes: number }
  /** Nothing more comes, and the connection stays: not even headers, or no more than so many bytes of the body. */
  | { readonly kind: "stall"; readonly afterBytes?: number }
  /** The body comes in drops. */
  | { readonly kind: "trickle"; readonly bytes: number; readonly everyMs: number }
  /** One bit of the body is flipped, so many bytes from its beginning. */
  | { readonly kind: "corrupt"; readonly atByte: number }
  /** More comes than was there. */
  | { readonly kind: "extend"; readonly bytes: number }
  /** The range is not passed on: 200 and the whole for 206. */
  | { readonly kind: "ignore_range" }
  /** An answer of its own: a storm of 429 or 503 with any `retry-after`, a redirect, a document. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | Uint8Array;
    }
  /** Headers of the answer are set (a wrong `content-range`, a `warning`), or removed with `undefined`. */
  | { readonly kind: "headers"; readonly set: Readonly<Record<string, string | undefined>> }
  /** Another path is asked for upstream: a tag that has moved. */
  | { readonly kind: "forward"; readonly path: string }
  /** The answer is put off. */
  | { readonly kind: "delay"; readonly ms: number };

/** A rule: which requests, and what goes wrong with them. */
export interface Fault {
  /** Default: every method. */
  readonly method?: string;
  /** Of the path with its query. Default: every path. */
  readonly path?: RegExp;
  /** Default: with or without a range. */
  readonly hasRange?: boolean;
  /** So many matching requests pass first. Default: 0. */
  readonly skip?: number;
  /** So many matching requests after that are hit. Default: all. */
  readonly times?: number;
  readonly action: FaultAction;
}

export interface FaultedRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
}

/** Counts matching requests, rule by rule. The first rule whose turn it is gives the action. */
export function createFaultPlan(faults: readonly Fault[]): (request: FaultedRequest) => FaultAction | undefined {
  const seen = faults.map(() => 0);
  return (request) => {
    for (const [index, fault] of faults.entries()) {
      if (!isMatch(fault, request)) continue;
      const count = seen[index] ?? 0;
      seen[index] = count + 1;
      const { skip = 0, times = Infinity } = fault;
      if (count >= skip && count < skip + times) return fault.action;
    }
    return undefined;
  };
}

function isMatch({ method, path, hasRange }: Fault, request: FaultedRequest): boolean {
  if (method !== undefined && method !== request.method) return false;
  // A pattern with the flag `g` or `y` would remember where it was.
  if (path !== undefined && request.path.search(path) < 0) return false;
  return hasRange === undefined || hasRange === (request.range !== undefined);
}
