// Long lines on a terminal: broken between words, what goes on below what it belongs to. Leaves out words that are longer than
// the line, which the terminal breaks; where there is no terminal, lines stay whole for whoever reads them.

/** Break a line at `width` columns; its further lines begin at column `indent`. Undefined: no terminal. */
export function wrap(line: string, width: number | undefined, indent: number): string {
  if (width === undefined || width <= 2 * indent) return line;
  const lines = [""];
  // a word with the space before it
  for (const word of line.match(/ *[^ ]+/g) ?? []) {
    const last = lines.length - 1;
    if (lines[last].trim() && lines[last].length + word.length > width)
      lines.push(" ".repeat(indent) + word.trimStart());
    else lines[last] += word;
  }
  return lines.join("\n");
}
