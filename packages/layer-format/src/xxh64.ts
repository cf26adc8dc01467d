/** XXH64 with seed 0, of which zstd stores the low half as a frame's checksum (RFC 8878, section 3.1.1). */
export interface Xxh64 {
  update(bytes: Uint8Array): void;
  /** The low 32 bits of the hash; called once. */
  digestLow(): number;
}

const STRIPE = 32;
const TOP_BIT = 1 << 31;
// The five primes of the specification, each as its low and its high half.
const P1: Half = [0x85ebca87, 0x9e3779b1];
const P2: Half = [0x27d4eb4f, 0xc2b2ae3d];
const P3: Half = [0x9e3779f9, 0x165667b1];
const P4: Half = [0xc2b2ae63, 0x85ebca77];
const P5: Half = [0x165667c5, 0x27d4eb2f];

type Half = readonly [low: number, high: number];

/** Works on halves of 32 bits: with BigInt it is four times slower, measured. */
export function createXxh64(): Xxh64 {
  // Four lanes, low and high half in turns.
  const lanes = Uint32Array.of(0, 0, P2[0], P2[1], 0, 0, 0, 0);
  add(lanes, 0, P1[0], P1[1]);
  add(lanes, 0, P2[0], P2[1]);
  subtract(lanes, 6, P1);
  const carry = new Uint8Array(STRIPE);
  const carryView = new DataView(carry.buffer);
  let carried = 0;
  let total = 0;

  function update(bytes: Uint8Array): void {
    total += bytes.length;
    let at = 0;
    if (carried > 0) {
      at = Math.min(STRIPE - carried, bytes.length);
      carry.set(bytes.subarray(0, at), carried);
      carried += at;
      if (carried < STRIPE) return;
      addStripes(lanes, carryView, 0, STRIPE);
      carried = 0;
    }
    const end = bytes.length - ((bytes.length - at) % STRIPE);
    addStripes(lanes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at, end);
    carry.set(bytes.subarray(end));
    carried = bytes.length - end;
  }

  function digestLow(): number {
    const hash = total >= STRIPE ? mergeLanes(lanes) : Uint32Array.of(P5[0], P5[1]);
    add(hash, 0, total >>> 0, Math.floor(total / 2 ** 32));
    let at = 0;
    for (; at + 8 <= carried; at += 8) {
      xorRound(hash, carryView.getUint32(at, true), carryView.getUint32(at + 4, true));
      rotate(hash, 0, 27);
      multiply(hash, 0, P1);
      add(hash, 0, P4[0], P4[1]);
    }
    if (at + 4 <= carried) {
      const word = Uint32Array.of(carryView.getUint32(at, true), 0);
      multiply(word, 0, P1);
      xor(hash, word);
      rotate(hash, 0, 23);
      multiply(hash, 0, P2);
      add(hash, 0, P3[0], P3[1]);
      at += 4;
    }
    for (; at < carried; at++) {
      const byte = Uint32Array.of(carry[at] ?? 0, 0);
      multiply(byte, 0, P5);
      xor(hash, byte);
      rotate(hash, 0, 11);
      multiply(hash, 0, P1);
    }
    return avalanche(hash);
  }

  return { update, digestLow };
}

/** Adds whole stripes, one lane after the other: so each lane's state stays in registers. */
function addStripes(lanes: Uint32Array, view: DataView, start: number, end: number): void {
  const [p1Low, p1High] = [P1[0] | 0, P1[1] | 0];
  const [p2Low, p2High] = [P2[0] | 0, P2[1] | 0];
  for (let lane = 0; lane < 4; lane++) {
    let low = (lanes[lane * 2] ?? 0) | 0;
    let high = (lanes[lane * 2 + 1] ?? 0) | 0;
    for (let at = start + lane * 8; at < end; at += STRIPE) {
      // lane += input * P2
      const inputLow = view.getInt32(at, true);
      const productLow = Math.imul(inputLow, p2Low);
      const productHigh =
        (multiplyHigh(inputLow, p2Low) + Math.imul(inputLow, p2High) + Math.imul(view.getInt32(at + 4, true), p2Low)) |
        0;
      const sumLow = (low + productLow) | 0;
      // Unsigned numbers compare as signed ones do when both have their first bit flipped.
      const carry = (sumLow ^ TOP_BIT) < (productLow ^ TOP_BIT) ? 1 : 0;
      const sumHigh = (high + productHigh + carry) | 0;
      // lane = rotate(lane, 31) * P1
      const turnedLow = (sumLow << 31) | (sumHigh >>> 1);
      const turnedHigh = (sumHigh << 31) | (sumLow >>> 1);
      low = Math.imul(turnedLow, p1Low);
      high = (multiplyHigh(turnedLow, p1Low) + Math.imul(turnedLow, p1High) + Math.imul(turnedHigh, p1Low)) | 0;
    }
    lanes[lane * 2] = low;
    lanes[lane * 2 + 1] = high;
  }
}

function mergeLanes(lanes: Uint32Array): Uint32Array {
  const hash = new Uint32Array(2);
  for (let lane = 0; lane < 4; lane++) {
    const rotated = lanes.slice(lane * 2, lane * 2 + 2);
    rotate(rotated, 0, [1, 7, 12, 18][lane] ?? 0);
    add(hash, 0, rotated[0] ?? 0, rotated[1] ?? 0);
  }
  for (let lane = 0; lane < 4; lane++) {
    xorRound(hash, lanes[lane * 2] ?? 0, lanes[lane * 2 + 1] ?? 0);
    multiply(hash, 0, P1);
    add(hash, 0, P4[0], P4[1]);
  }
  return hash;
}

function avalanche(hash: Uint32Array): number {
  xorShifted(hash, 33);
  multiply(hash, 0, P2);
  xorShifted(hash, 29);
  multiply(hash, 0, P3);
  xorShifted(hash, 32);
  return hash[0] ?? 0;
}

function round(words: Uint32Array, at: number, low: number, high: number): void {
  const l2 = P2[0];
  const productLow = Math.imul(low, l2);
  const productHigh = multiplyHigh(low, l2) + Math.imul(low, P2[1]) + Math.imul(high, l2);
  add(words, at, productLow >>> 0, productHigh >>> 0);
  rotate(words, at, 31);
  multiply(words, at, P1);
}

function xorRound(hash: Uint32Array, low: number, high: number): void {
  const word = new Uint32Array(2);
  round(word, 0, low, high);
  xor(hash, word);
}

function add(words: Uint32Array, at: number, low: number, high: number): void {
  const sum = (words[at] ?? 0) + low;
  words[at] = sum;
  words[at + 1] = (words[at + 1] ?? 0) + high + (sum > 0xffffffff ? 1 : 0);
}

function subtract(words: Uint32Array, at: number, value: Half): void {
  const difference = (words[at] ?? 0) - value[0];
  words[at] = difference;
  words[at + 1] = (words[at + 1] ?? 0) - value[1] - (difference < 0 ? 1 : 0);
}

function multiply(words: Uint32Array, at: number, factor: Half): void {
  const low = words[at] ?? 0;
  const high = words[at + 1] ?? 0;
  words[at] = Math.imul(low, factor[0]);
  words[at + 1] = multiplyHigh(low, factor[0]) + Math.imul(low, factor[1]) + Math.imul(high, factor[0]);
}

/** The high half of a product of two 32-bit numbers, taken as unsigned. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // No sum here needs more than 32 bits, so that integers do: doubles would be slower.
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const carry = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/** Rotates left by 1 to 31 bits. */
function rotate(words: Uint32Array, at: number, bits: number): void {
  const low = words[at] ?? 0;
  const high = words[at + 1] ?? 0;
  words[at] = (low << bits) | (high >>> (32 - bits));
  words[at + 1] = (high << bits) | (low >>> (32 - bits));
}

function xor(words: Uint32Array, other: Uint32Array): void {
  words[0] = (words[0] ?? 0) ^ (other[0] ?? 0);
  words[1] = (words[1] ?? 0) ^ (other[1] ?? 0);
}

/** Xors a number with itself shifted right. */
function xorShifted(words: Uint32Array, bits: number): void {
  const low = words[0] ?? 0;
  const high = words[1] ?? 0;
  if (bits >= 32) words[0] = low ^ (high >>> (bits - 32));
  else {
    words[0] = low ^ ((low >>> bits) | (high << (32 - bits)));
    words[1] = high ^ (high >>> bits);
  }
}
