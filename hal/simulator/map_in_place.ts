// Espruino's E.mapInPlace (jswrap_espruino): elements of one array, or groups of bits of them, through a
// table or a function into another array. Elements of 32 bits that are taken whole pass as they are.

type Elements = ArrayLike<number> & { BYTES_PER_ELEMENT?: number };

/**
 * `bits` of an element at a time, most significant first; negative: least significant first; 0: whole
 * elements.
 */
export function mapInPlace(
  from: Elements,
  to: { [index: number]: number; length: number },
  map?: unknown,
  bits = 0,
): void {
  if (!ArrayBuffer.isView(from) || !ArrayBuffer.isView(to))
    throw new Error("First 2 arguments should be array buffers");
  const elementBits = 8 * (from.BYTES_PER_ELEMENT ?? 1);
  const size = Math.abs(bits) || elementBits;
  const mask = 2 ** size - 1;
  const mapped = (value: number, index: number): number => {
    if (map === undefined) return value;
    return typeof map === "function" ? map(value, index) : (map as ArrayLike<number>)[value];
  };
  let held = 0n;
  let heldBits = 0;
  let next = 0;
  for (let index = 0; index < to.length && (next < from.length || heldBits >= size); index++) {
    const fromIndex = next;
    for (; heldBits < size; heldBits += elementBits) {
      const element = BigInt.asUintN(elementBits, BigInt(next < from.length ? from[next] : 0));
      next++;
      held = bits < 0 ? held | (element << BigInt(heldBits)) : (held << BigInt(elementBits)) | element;
    }
    heldBits -= size;
    let value: bigint;
    if (bits < 0) {
      value = held & BigInt(mask);
      held >>= BigInt(size);
    } else {
      value = (held >> BigInt(heldBits)) & BigInt(mask);
      held &= (1n << BigInt(heldBits)) - 1n;
    }
    to[index] = mapped(bits === 0 && size === 32 ? from[fromIndex] : Number(value), fromIndex);
  }
}
