// The pins that a board's data name (boards/board.ts): text of names and ranges, "D0 D4-D5".

/** List the names. */
export function pinNames(pins: string): string[] {
  return pins.split(" ").flatMap((part) => {
    const [first, last = first] = part.split("-");
    const [from, to] = [first, last].map((name) => Number(name.slice(1)));
    return Array.from({ length: to - from + 1 }, (_, i) => `D${from + i}`);
  });
}
