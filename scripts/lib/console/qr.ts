// A QR code in a terminal.
import bwip from "bwip-js/node";

/** Modules of quiet around a QR code (ISO/IEC 18004, 9.1). */
const QUIET = 4;

/** Draw a QR code for a terminal: half a character a module, light on dark whatever the terminal's colours are. */
export function qrForTerminal(text: string): string {
  const { pixs, pixx } = bwip.raw("qrcode", text, "eclevel=M")[0] as { pixs: number[]; pixx: number };
  const isDark = (row: number, column: number) =>
    row >= 0 && column >= 0 && row < pixx && column < pixx && pixs[row * pixx + column] === 1;
  const lines: string[] = [];
  for (let row = -QUIET; row < pixx + QUIET; row += 2) {
    let line = "";
    for (let column = -QUIET; column < pixx + QUIET; column++)
      line += [" ", "▀", "▄", "█"][(isDark(row, column) ? 0 : 1) + (isDark(row + 1, column) ? 0 : 2)];
    lines.push(`\x1b[97;40m${line}\x1b[0m`);
  }
  return lines.join("\n");
}
