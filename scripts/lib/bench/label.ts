// A unit's label: product and serial in words, and a Data Matrix (ISO/IEC 16022, ECC 200) of the serial as the bench's
// scan field takes it, so that a unit that comes back is scanned, not typed. SVG for the screen, PDF for the printer,
// both drawn from one layout in millimetres. Neither key version nor check value are on it: they change, it stays.
// Leaves out: the printer.
import { join } from "node:path";
import bwip from "bwip-js/node";
import PDFDocument from "pdfkit";
import { UsageError } from "../cli/exit";
import { showXml } from "../cli/show";
import { makeFolder, replaceFile } from "../files/new_file";
import { PRODUCT } from "../keys/identity";
import { checkSerial } from "../keys/serials";
import type { WriteLabel } from "./interfaces";

export interface Label {
  serial: string;
  product: string;
}

// Millimetres: a label of 38 x 13, as small thermal rolls have it.
const WIDTH = 38;
const HEIGHT = 13;
const MARGIN = 1.5;
const CODE = HEIGHT - 2 * MARGIN; // side of the Data Matrix; its quiet zone of one module is the margin's
const TEXT_LEFT = MARGIN + CODE + 1.5;
const TEXT_WIDTH = WIDTH - TEXT_LEFT - MARGIN;
const LINES = [
  { of: "product", baseline: 5, size: 3 },
  { of: "serial", baseline: 10, size: 4 },
] as const;
const CHARACTER_WIDTH = 0.6; // of the size: Courier, which every PDF reader has

interface Layout {
  /** Dark runs of the Data Matrix, in millimetres. */
  runs: { x: number; y: number; width: number; height: number }[];
  lines: { text: string; baseline: number; size: number; width: number }[];
}

function layout(label: Label): Layout {
  checkSerial(label.serial);
  if (!/^[\x21-\x7e]{1,31}$/.test(label.product) || !PRODUCT.test(label.product))
    throw new UsageError(`the product ${JSON.stringify(label.product.slice(0, 40))} fits on no label.`);
  const matrix = bwip.raw("datamatrix", label.serial, "")[0] as {
    pixs: number[];
    pixx: number;
    pixy: number;
  };
  const module = CODE / matrix.pixx;
  const runs: Layout["runs"] = [];
  for (let row = 0; row < matrix.pixy; row++) {
    const dark = matrix.pixs.slice(row * matrix.pixx, (row + 1) * matrix.pixx);
    for (let column = 0; column < dark.length; column++) {
      if (!dark[column]) continue;
      const start = column;
      while (dark[column + 1]) column++;
      runs.push({
        x: MARGIN + start * module,
        y: MARGIN + row * module,
        width: (column + 1 - start) * module,
        height: module,
      });
    }
  }
  const lines = LINES.map(({ of, baseline, size }) => {
    const text = label[of];
    const fitting = Math.min(size, TEXT_WIDTH / (text.length * CHARACTER_WIDTH));
    return { text, baseline, size: fitting, width: text.length * CHARACTER_WIDTH * fitting };
  });
  return { runs, lines };
}

/** Draw a label as SVG. */
export function labelSvg(label: Label): string {
  const { runs, lines } = layout(label);
  const short = (value: number) => String(Math.round(value * 10_000) / 10_000);
  const path = runs
    .map(
      ({ x, y, width, height }) =>
        `M${short(x)} ${short(y)}h${short(width)}v${short(height)}h${short(-width)}z`,
    )
    .join("");
  const texts = lines.map(
    ({ text, baseline, size, width }) =>
      `<text x="${TEXT_LEFT}" y="${baseline}" font-size="${short(size)}" textLength="${short(width)}">${showXml(text)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}mm" height="${HEIGHT}mm" viewBox="0 0 ${WIDTH} ${HEIGHT}">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<path d="${path}" shape-rendering="crispEdges"/>`,
    `<g font-family="Courier, 'Courier New', monospace" font-weight="bold">${texts.join("")}</g>`,
    "</svg>\n",
  ].join("\n");
}

const POINTS = 72 / 25.4; // to a millimetre

/** Draw labels as PDF, a page each. */
export function labelsPdf(labels: readonly Label[]): Promise<Buffer> {
  const layouts = labels.map(layout);
  const document = new PDFDocument({
    size: [WIDTH * POINTS, HEIGHT * POINTS],
    margin: 0,
    autoFirstPage: false,
    info: {
      Title: labels
        .map(({ serial }) => serial)
        .join(" ")
        .slice(0, 200),
    },
  });
  const chunks: Buffer[] = [];
  const done = new Promise<Buffer>((resolve, reject) => {
    document.on("data", (chunk: Buffer) => chunks.push(chunk));
    document.on("end", () => resolve(Buffer.concat(chunks)));
    document.on("error", reject);
  });
  for (const { runs, lines } of layouts) {
    document.addPage().scale(POINTS).font("Courier-Bold");
    for (const { x, y, width, height } of runs) document.rect(x, y, width, height);
    document.fill("black");
    for (const { text, baseline, size } of lines)
      document.fontSize(size).text(text, TEXT_LEFT, baseline, { baseline: "alphabetic", lineBreak: false });
  }
  document.end();
  return done;
}

/** Write `<product>.<serial>.svg` and `.pdf` into a folder, which is made if need be, over those of the same serial. */
export const writeLabel: WriteLabel = async (folder, label) => {
  const contents = [
    ["svg", labelSvg(label)],
    ["pdf", await labelsPdf([label])],
  ] as const;
  makeFolder(folder);
  return contents.map(([ending, content]) => {
    const path = join(folder, `${label.product}.${label.serial}.${ending}`);
    replaceFile(path, Buffer.from(content)); // a printer may be watching the folder
    return path;
  });
};
