import type { ImageStore, Lease, LeaseItem } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";

/** A lease that lasts until it is disposed of. */
export interface HeldLease extends AsyncDisposable {
  readonly lease: Lease;
}

/** Takes a lease for work that does not end where it began, such as an answer that is read by a client. */
export async function takeLease(
  store: Pick<ImageStore, "lease">,
  purpose: string,
  items: readonly LeaseItem[],
  options: CallOptions = {},
): Promise<HeldLease> {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  return new Promise((resolve, reject) => {
    const hold = async (lease: Lease): Promise<void> => {
      resolve({
        lease,
        async [Symbol.asyncDispose]() {
          release();
          await ended;
        },
      });
      await released;
    };
    const ended = store.lease(purpose, items, hold, options);
    ended.catch(reject);
  });
}
