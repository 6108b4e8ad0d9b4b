// Labels as SVG and as PDF are drawn by other programs and read by a real decoder: what is scanned is the serial.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { labelSvg, labelsPdf, writeLabel } from "./lib/bench/label";
import { PROJECT } from "./lib/bundle/build";
import { skipWithout } from "./lib/test/peers/install";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "label-"));
after(() => rmSync(folder, { recursive: true }));
const skip = skipWithout("dmtxread", "pdftoppm", "rsvg-convert");
const DOTS_PER_INCH = "300"; // of a common label printer

function output(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  assert.equal(status, 0, `${command}: ${stderr}`);
  return stdout;
}
const scan = (image: string) => output("dmtxread", "-n", image).trim();

describe("a scanner reads the serial from the label", { skip }, () => {
  for (const serial of ["SN0000001", "7", "A", "sn_with-both0", "Z".repeat(31), "9".repeat(31)])
    test(serial, async () => {
      const [svg, pdf] = await writeLabel(folder, { serial, product: "meter", identity: "" });
      output("rsvg-convert", "-d", DOTS_PER_INCH, "-p", DOTS_PER_INCH, "-o", "svg.png", svg);
      assert.equal(scan("svg.png"), serial);
      output("pdftoppm", "-r", DOTS_PER_INCH, "-png", pdf, "pdf");
      assert.equal(scan("pdf-1.png"), serial);
      assert.deepEqual(output("pdftotext", pdf, "-").trim().split(/\s+/), ["meter", serial]);
      assert.match(output("pdfinfo", pdf), /Page size: +107\.\d+ x 36\.\d+ pts/); // 38 x 13 mm
    });

  test("each page of a sheet is another serial's", () => {
    const { status, stderr } = label(
      "--product",
      "meter",
      "--serials",
      "SN09..SN11",
      "--sheet",
      join(folder, "sheet.pdf"),
    );
    assert.equal(status, 0, stderr);
    output("pdftoppm", "-r", DOTS_PER_INCH, "-png", "sheet.pdf", "sheet");
    assert.deepEqual(
      [1, 2, 3].map((page) => scan(`sheet-${page}.png`)),
      ["SN09", "SN10", "SN11"],
    );
  });
});

function label(...args: string[]) {
  return spawnSync(process.execPath, nodeArguments("scripts/label.ts", ...args), {
    cwd: PROJECT,
    encoding: "utf8",
  });
}

test("a product with signs that XML uses stays text", { skip }, async () => {
  const product = `<a&b>"'`;
  const [svg] = await writeLabel(folder, { serial: "SN1", product, identity: "" });
  output("rsvg-convert", svg, "-o", "signs.png");
  assert.match(readFileSync(svg, "utf8"), /&lt;a&amp;b&gt;&quot;'<\/text>/);
});

test("what is written again is written over, and nothing half-written stays", async () => {
  const labels = join(folder, "made", "here");
  await writeLabel(labels, { serial: "SN1", product: "meter", identity: "" });
  await writeLabel(labels, { serial: "SN1", product: "meter", identity: "" });
  assert.deepEqual(readdirSync(labels).sort(), ["meter.SN1.pdf", "meter.SN1.svg"]);
});

describe("bad input is a sentence, exit 2, and nothing written", () => {
  const out = join(folder, "none");
  const wrong: string[][] = [
    [],
    ["--product", "meter"],
    ["--serials", "SN1"],
    ["--product", "meter", "--serials", "SN 1"],
    ["--product", "meter", "--serials", ""],
    ["--product", "meter", "--serials", "SN2..SN1"],
    ["--product", "meter", "--serials", "SN00000..SN99999", "--out", out],
    ["--product", "../x", "--serials", "SN1", "--out", out],
    ["--product", "a b", "--serials", "SN1", "--out", out],
    ["--product", "", "--serials", "SN1", "--out", out],
    ["--product", "meter", "--serials", "SN1", "--out", "README.md"],
    ["--product", "meter", "--serials", "SN1", "--sheet", join(out, "x.pdf")],
    ["--product", "meter", "--serials", "SN1", "--sheet", "x.pdf", "--out", out],
  ];
  for (const args of wrong)
    test(args.join(" ").replaceAll(folder, "") || "nothing", () => {
      const { status, stderr } = label(...args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^label: [^\n]*\.\n$/);
      assert.ok(!existsSync(out) && !existsSync(join(PROJECT, "x.pdf")));
    });

  test("in the functions too", async () => {
    assert.throws(() => labelSvg({ serial: "SN1\n", product: "meter" }), /is not 1 to 31 letters/);
    await assert.rejects(
      async () => labelsPdf([{ serial: "SN1", product: "x".repeat(32) }]),
      /fits on no label/,
    );
  });
});
