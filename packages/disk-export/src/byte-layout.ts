/** Writes a byte string's characters, one byte each. */
export function writeByteString(text: string, target: Uint8Array, at: number): void {
  for (let index = 0; index < text.length; index++) target[at + index] = text.charCodeAt(index);
}

/** Writes a whole number in 64 bits, little-endian: `setBigInt64` would make an object of each. */
export function writeInt64(view: DataView, at: number, value: number): void {
  // both keep the low 32 bits, of negative numbers too
  view.setUint32(at, value, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** The least multiple of `unit` that is not below `value`; `unit` is a power of two. Right for any safe integer. */
export function alignUp(value: number, unit: number): number {
  const over = value % unit;
  return over === 0 ? value : value + unit - over;
}
