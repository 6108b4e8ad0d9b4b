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
  if (size + elementBits > 53 && size !== elementBits)
    throw new Error("simulator: too many bits of 32 at a time");
  const mapped = (value: number, index: number): number => {
    if (map === undefined) return value;
    return typeof map === "function" ? map(value, index) : (map as ArrayLike<number>)[value];
  };
  const isWhole = size === elementBits;
  let held = 0;
  let heldBits = 0;
  let next = 0;
  for (let index = 0; index < to.length && (next < from.length || heldBits >= size); index++) {
    const fromIndex = next;
    let value: number;
    if (isWhole) {
      const element = from[next++];
      value = bits === 0 && size === 32 ? element : element >= 0 ? element : element + 2 ** size;
    } else {
      for (; heldBits < size; heldBits += elementBits) {
        const taken = next < from.length ? from[next] : 0;
        next++;
        const element = taken >= 0 ? taken : taken + 2 ** elementBits;
        held = bits < 0 ? held + element * 2 ** heldBits : held * 2 ** elementBits + element;
      }
      heldBits -= size;
      const rest = 2 ** (bits < 0 ? size : heldBits);
      value = bits < 0 ? held % rest : Math.floor(held / rest);
      held = bits < 0 ? Math.floor(held / rest) : held % rest;
    }
    to[index] = mapped(value, fromIndex);
  }
}
