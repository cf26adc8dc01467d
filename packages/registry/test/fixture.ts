import { createRegistry } from "../src/index.js";
import type { Registry, RegistryStorage } from "../src/index.js";
import { memoryStorage } from "../src/testing.js";

export const SHA256_OF_NOTHING = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" as const;

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

export async function* chunksOf(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

export function request(method: string, path: string, init: RequestInit = {}): Request {
  return new Request(`http://registry.test${path}`, { method, duplex: "half", ...init });
}

export interface Gate {
  readonly passed: Promise<void>;
  readonly open: () => void;
}

export function createGate(): Gate {
  let open: (() => void) | undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open?.() };
}

/** Bytes that come once the gate is open. */
export async function* chunksBehind(gate: Gate, ...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  await gate.passed;
  yield* chunks;
}

/** A body that breaks off. */
export async function* broken(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
  throw new Error("reset");
}

/** A registry in memory with some of its storage replaced. */
export function registryOver(replaced: (storage: RegistryStorage) => Partial<RegistryStorage>): Registry {
  const storage = memoryStorage();
  return createRegistry({ storage: { ...storage, ...replaced(storage) } });
}
