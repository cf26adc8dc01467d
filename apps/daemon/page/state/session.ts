import { createStore } from "./store.js";

const KEY = "lamellad-token";

interface Session {
  readonly token: string | undefined;
  /** Whether the daemon has refused to answer without a token, or with this one. */
  readonly demanded: boolean;
  /** Another one whenever who asks changes: what was asked for before is to be asked for again. */
  readonly generation: number;
}

export const session = createStore<Session>({
  token: globalThis.sessionStorage?.getItem(KEY) ?? undefined,
  demanded: false,
  generation: 0,
});

export function getToken(): string | undefined {
  return session.get().token;
}

/** The daemon refused what `refused` asked for; if another token has come meanwhile, that is none of it. */
export function demandToken(refused: string | undefined): void {
  const { token } = session.get();
  if (token === refused) session.set({ ...session.get(), demanded: true });
}

/** Kept until the tab closes. */
export function enterToken(token: string): void {
  sessionStorage.setItem(KEY, token);
  session.set({ token, demanded: false, generation: session.get().generation + 1 });
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
  session.set({ token: undefined, demanded: false, generation: session.get().generation + 1 });
}
