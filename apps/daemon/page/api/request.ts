import { demandToken, getToken } from "../state/session.js";
import type { Problem } from "./types.js";

/** What the daemon, or the way to it, answered instead of what was asked for. */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;

  constructor(problem: Pick<Problem, "detail" | "code" | "status">) {
    super(problem.detail);
    this.code = problem.code;
    this.status = problem.status;
  }
}

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Where a path of the API is, wherever the page is. */
export function apiUrl(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}

/** Asks the API with the token, if there is one. Throws {@link ApiError}, `offline` where nobody answers; a 401 also asks for a token. */
export async function send(path: string, options: RequestOptions = {}): Promise<Response> {
  const { method = "GET", body, signal } = options;
  const token = getToken();
  const headers = new Headers(options.headers);
  if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("Content-Type", "application/json");
  const init: RequestInit = { method, headers, cache: "no-store", credentials: "omit", signal: signal ?? null };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(apiUrl(path), init).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw new ApiError({ detail: `cannot reach lamellad: ${messageOf(error)}`, code: "offline", status: 0 });
  });
  if (response.ok) return response;
  const error = await problemOf(response);
  if (response.status === 401) demandToken(token);
  throw error;
}

/** As {@link send}, for an answer in JSON. */
export async function ask<T>(path: string, options?: RequestOptions): Promise<T> {
  const response = await send(path, options);
  return (await response.json()) as T;
}

async function problemOf(response: Response): Promise<ApiError> {
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  const detail = problem.detail ?? problem.title ?? `lamellad answered ${response.status}`;
  return new ApiError({ detail, code: problem.code ?? "unknown", status: response.status });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** `?a=b` of what is given; empty of nothing. */
export function query(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  if (given.length === 0) return "";
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()}`;
}
