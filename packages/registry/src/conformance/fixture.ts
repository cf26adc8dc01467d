/** What a test runner calls them. */
export interface TestFunctions {
  readonly describe: (name: string, body: () => void) => void;
  readonly it: (name: string, body: () => Promise<void>) => void;
}

/** An empty registry of its own for one test; disposed of at the test's end. */
export interface RegistryFixture extends AsyncDisposable {
  /** Answers a request, directly or over a network. */
  readonly send: (request: Request) => Promise<Response>;
  /** Where requests are sent to, `http://127.0.0.1:5000`; anything for one that answers directly. */
  readonly origin: string;
  /** Whether blobs can be deleted; if not, it must say so. */
  readonly deletesBlobs: boolean;
}

export interface ConformanceGroup extends TestFunctions {
  readonly createFixture: () => Promise<RegistryFixture>;
}
