// Long lines on a terminal: broken between words, what goes on below what it belongs to. A word that is longer than a line, such as
// JSON, is broken behind its commas; where it has none, a path, the terminal breaks it, so that it can be copied whole. Where
// there is no terminal, lines stay whole for whoever reads them.
import { showLines } from "./show";

/** Break a line at `width` columns; its further lines begin at column `indent`. Undefined: no terminal. */
export function wrap(line: string, width: number | undefined, indent: number): string {
  if (width === undefined || width <= 2 * indent) return line;
  const lines = [""];
  // a word with the space before it
  for (const word of line.match(/ *[^ ]+/g) ?? []) {
    const isLong = word.trimStart().length > width - indent;
    for (const part of isLong ? (word.match(/ *[^,]+,*|,+/g) as string[]) : [word]) {
      const last = lines.length - 1;
      if (lines[last].trim() && lines[last].length + part.length > width)
        lines.push(" ".repeat(indent) + part.trimStart());
      else lines[last] += part;
    }
  }
  return lines.join("\n");
}

/** The same for each line of a text of several, whose own indents are kept; `indent` is on top of them. */
export function wrapLines(text: string, width: number | undefined, indent = 2): string {
  const broken = (line: string) => wrap(line, width, indent + (line.length - line.trimStart().length));
  return text.split("\n").map(broken).join("\n");
}

/** Print a text for people; what others wrote in it is shown, not obeyed. */
export function print(text: string): void {
  console.log(wrapLines(showLines(text), process.stdout.columns));
}
