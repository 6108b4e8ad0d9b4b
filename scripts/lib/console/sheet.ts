// The technicians' sheet: every command, every step and every error number of a device with its sentence, on one A4 paper,
// both sides at most. Made of the tables that terminal and page read, in the largest type that fits.
// Leaves out alerts that a device never sends: no number of theirs is ever seen.
import PDFDocument from "pdfkit";
import { RECEIVED, SENT } from "../../../firmware/tls/alert";
import { alertName, errorText } from "../cli/error_text";
import { COMMAND_TEXT } from "./command_text";
import { stepText } from "./step_text";

interface SheetPart {
  title: string;
  /** Said under the title. */
  about?: string;
  rows: { head: string; text: string }[];
}

/** Numbers of our own and the broker's refusals: below the alerts. */
const OWN_CODES = 256;
const ALERTS = 256;
const STEPS = 11;

/** Everything on the sheet, in its order. */
export function sheetParts(): SheetPart[] {
  return [
    {
      title: "Plug in",
      rows: [
        {
          head: "line",
          text: "115,200 baud, 8 data bits, no parity, 1 stop bit, no flow control. Enter ends a line of at most 64 characters.",
        },
        {
          head: "host",
          text: "make console PORT=/dev/ttyUSB0, or any terminal program: what is said here in words, the device says as E and a number.",
        },
        { head: "page", text: "dist/console.html in Chrome or Edge." },
      ],
    },
    {
      title: "Commands",
      about: "may be cut short; * wants the device unlocked",
      rows: Object.entries(COMMAND_TEXT).map(([word, { takes, about, service }]) => ({
        head: `${word}${takes ? ` ${takes}` : ""}${service ? " *" : ""}`,
        text: about,
      })),
    },
    {
      title: "Unlock",
      rows: [
        {
          head: "1",
          text: "unlock: the device shows its identity, a nonce of 13 characters and its count of boots.",
        },
        {
          head: "2",
          text: "Read the three to the service desk, or let the QR code be scanned. It answers with a line.",
        },
        {
          head: "3",
          text: "Type that line: unlock ROLE MINUTES ANSWER. I and L are 1, O is 0; hyphens and lower case do not matter.",
        },
        {
          head: "",
          text: "An answer is good once, and for this nonce. After three false ones the device makes one wait, longer each time.",
        },
      ],
    },
    {
      title: "Steps",
      rows: Array.from({ length: STEPS }, (_, step) => ({
        head: String(step),
        text: `${stepText(step).word}: ${stepText(step).doing}`,
      })),
    },
    {
      title: "Errors",
      rows: Array.from({ length: OWN_CODES }, (_, code) => ({
        head: `E${code}`,
        text: errorText(code) ?? "",
      })).filter(({ text }) => text),
    },
    {
      title: "Alerts that the server sent",
      about: "the number is the alert's plus 256",
      rows: alertRows(RECEIVED),
    },
    {
      title: "Alerts that the device sent",
      about: "the alert's plus 512",
      rows: alertRows(SENT),
    },
  ];
}

/** Alerts that the standards know, those of one sentence together. */
function alertRows(base: number): SheetPart["rows"] {
  const byClause = new Map<string, number[]>();
  for (let alert = 0; alert < ALERTS; alert++) {
    const text = errorText(base + alert) ?? "";
    if (/unknown to the standards|no business/.test(text)) continue;
    const clause = text.replace(/^.*?alert \d+ \(\w+\): /, "");
    byClause.set(clause, [...(byClause.get(clause) ?? []), alert]);
  }
  return [...byClause].map(([clause, alerts]) => ({
    head: alerts.map((alert) => `E${base + alert}`).join(" "),
    text: `${alerts.map(alertName).join(", ")}: ${clause}`,
  }));
}

const POINTS = 72 / 25.4; // to a millimetre
// Millimetres: A4.
const PAGE_WIDTH = 210;
const PAGE_HEIGHT = 297;
const MARGIN = 10;
const GUTTER = 6;
const HEADER = 9;
const COLUMNS = 2;
const SIDES = 2;
/** Characters of an error number. */
const NUMBER_LENGTH = 4;
const COLUMN_WIDTH = (PAGE_WIDTH - 2 * MARGIN - (COLUMNS - 1) * GUTTER) / COLUMNS;
/** Points: sizes of type that are tried, the largest first; the smallest that can be read at arm's length is the last. */
const SIZES = [9.5, 9, 8.5, 8, 7.5, 7, 6.5];

/** Draw the sheet as PDF. `version` is the firmware's, for the header. */
export function sheetPdf(version: string): Promise<Buffer> {
  const document = new PDFDocument({
    size: [PAGE_WIDTH * POINTS, PAGE_HEIGHT * POINTS],
    margin: 0,
    autoFirstPage: false,
    info: { Title: `Technician's sheet, firmware ${version}` },
  });
  const chunks: Buffer[] = [];
  const done = new Promise<Buffer>((resolve, reject) => {
    document.on("data", (chunk: Buffer) => chunks.push(chunk));
    document.on("end", () => resolve(Buffer.concat(chunks)));
    document.on("error", reject);
  });
  const parts = sheetParts();
  const size = SIZES.find((each) => flow(document, parts, each, () => {}) <= COLUMNS * SIDES);
  if (size === undefined) throw new Error("the sheet has more than two sides");
  let sides = 0;
  flow(document, parts, size, (column, y, draw) => {
    while (sides <= Math.floor(column / COLUMNS)) header(document, version, ++sides);
    draw((MARGIN + (column % COLUMNS) * (COLUMN_WIDTH + GUTTER)) * POINTS, y);
  });
  document.end();
  return done;
}

function header(document: PDFKit.PDFDocument, version: string, side: number): void {
  const options = { baseline: "alphabetic", lineBreak: false } as const;
  const y = (MARGIN + 4) * POINTS;
  document.addPage().fillColor("black").font("Helvetica-Bold").fontSize(13);
  document.text("The device's console", MARGIN * POINTS, y, options);
  document.font("Helvetica").fontSize(8);
  document.text(`firmware ${version}, side ${side}`, (PAGE_WIDTH - MARGIN - 35) * POINTS, y, options);
  document
    .moveTo(MARGIN * POINTS, y + 5)
    .lineTo((PAGE_WIDTH - MARGIN) * POINTS, y + 5)
    .lineWidth(0.6)
    .stroke();
}

/**
 * Lay the parts into columns in type of `size` points. `place` gets each block's column, its upper edge in points, and what
 * draws it at a left edge. Returns the number of columns.
 */
function flow(
  document: PDFKit.PDFDocument,
  parts: readonly SheetPart[],
  size: number,
  place: (column: number, y: number, draw: (x: number, y: number) => void) => void,
): number {
  const top = (MARGIN + HEADER) * POINTS;
  const bottom = (PAGE_HEIGHT - MARGIN) * POINTS;
  const width = COLUMN_WIDTH * POINTS;
  let column = 0;
  let y = top;
  const put = (height: number, draw: (x: number, y: number) => void, keepWithNext = 0) => {
    if (y > top && y + height + keepWithNext > bottom) {
      column++;
      y = top;
    }
    place(column, y, draw);
    y += height;
  };
  const heightOf = (text: string, font: string, textWidth: number) =>
    document.font(font).fontSize(size).heightOfString(text, { width: textWidth });
  for (const { title, about, rows } of parts) {
    // a column for numbers, or for words
    const isNarrow = rows.filter(({ head }) => head.length <= NUMBER_LENGTH).length > rows.length / 2;
    const headWidth = size * (isNarrow ? 2.6 : 6.4);
    const gap = size * 0.5;
    if (y > top) y += size * 0.8;
    put(
      size * 1.9,
      (x, at) => {
        const line = at + size * 0.4;
        document
          .rect(x, at, width, size * 1.5)
          .fill("#e4e9ed")
          .fillColor("black")
          .fontSize(size);
        document.font("Helvetica-Bold").text(title, x + 3, line, { lineBreak: false });
        const aboutLeft = x + 3 + document.widthOfString(title) + size;
        if (about) document.font("Helvetica").text(about, aboutLeft, line, { lineBreak: false });
      },
      size * 3,
    );
    for (const { head, text } of rows) {
      // a long head has a line of its own
      const isLong = document.font("Helvetica-Bold").fontSize(size).widthOfString(head) > headWidth;
      const headHeight = isLong ? heightOf(head, "Helvetica-Bold", width) : 0;
      const textWidth = width - headWidth - gap;
      const height = headHeight + heightOf(text, "Helvetica", textWidth) + size * 0.22;
      put(height, (x, at) => {
        document
          .font("Helvetica-Bold")
          .fontSize(size)
          .text(head, x, at, { width: isLong ? width : headWidth });
        document.font("Helvetica").text(text, x + headWidth + gap, at + headHeight, { width: textWidth });
      });
    }
  }
  return column + 1;
}
