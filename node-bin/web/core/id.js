// A message's id, computed from what the client knows when it sends it: the first 16 bytes of the SHA-256 (FIPS 180-4) over the session's id and the session's number, each as 8 bytes, little
// endian (docs/CLIENT.md). By hand, because browsers have crypto.subtle on https and on this machine only, and answer it later, not now.

/** The first 32 bits of the fractional parts of roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32) >>> 0;
const primes = [];
for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime)) primes.push(n);

/** Exactly: the cube root of a prime times 2^32 is too long for a double's digits. */
function cubeRootBits(prime) {
  const wanted = BigInt(prime) << 96n;
  let [low, high] = [0n, 1n << 36n];
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle * middle * middle <= wanted) low = middle; else high = middle - 1n;
  }
  return Number(low & 0xffffffffn);
}

const K = primes.map(cubeRootBits);
const START = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));

const turn = (word, by) => (word >>> by) | (word << (32 - by));

/** The state after one block of sixteen words. */
function compress(block) {
  const w = [...block];
  for (let t = 16; t < 64; t += 1) {
    const a = turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ (w[t - 15] >>> 3);
    const b = turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ (w[t - 2] >>> 10);
    w[t] = (w[t - 16] + a + w[t - 7] + b) >>> 0;
  }
  let [a, b, c, d, e, f, g, h] = START;
  for (let t = 0; t < 64; t += 1) {
    const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + w[t]) >>> 0;
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) >>> 0;
    [a, b, c, d, e, f, g, h] = [(first + second) >>> 0, a, b, c, (d + first) >>> 0, e, f, g];
  }
  return [a, b, c, d, e, f, g, h].map((word, nth) => (word + START[nth]) >>> 0);
}

/** `session`: as text or number, decimal. `number`: the session's. 32 hex digits. */
export function messageId(session, number) {
  const view = new DataView(new ArrayBuffer(64));
  view.setBigUint64(0, BigInt(session), true);
  view.setBigUint64(8, BigInt(number), true);
  view.setUint8(16, 0x80);
  view.setUint32(60, 128);
  const words = compress(Array.from({ length: 16 }, (_, nth) => view.getUint32(nth * 4)));
  return words.slice(0, 4).map((word) => word.toString(16).padStart(8, "0")).join("");
}
