/** Zeroed bytes under construction, and the view that writes numbers into them. */
export interface Scratch {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function createScratch(length: number): Scratch {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer) };
}
