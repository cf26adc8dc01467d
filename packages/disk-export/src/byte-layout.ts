/** Writes a byte string's characters, one byte each. */
export function writeByteString(text: string, target: Uint8Array, at: number): void {
  for (let index = 0; index < text.length; index++) target[at + index] = text.charCodeAt(index);
}

/** The least multiple of `unit` that is not below `value`; `unit` is a power of two. Right for any safe integer. */
export function alignUp(value: number, unit: number): number {
  const over = value % unit;
  return over === 0 ? value : value + unit - over;
}
