// The technicians' sheet: one A4 paper, with every command of the device, every step and every error number on it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as codes from "../../../firmware/tls/alert";
import { alertName, errorText } from "../cli/error_text";
import { skipWithout } from "../test/peers/install";
import { nodeArguments } from "../test/program";
import { COMMAND_TEXT } from "./command_text";
import { sheetParts } from "./sheet";

const words = (text: string) => text.replace(/\s+/g, " ");

test("two sides of A4 hold it all", { skip: skipWithout("pdftoppm"), timeout: 1_000_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "sheet-"));
  try {
    const file = join(folder, "sheet.pdf");
    execFileSync(process.execPath, nodeArguments("scripts/sheet.ts", "--out", file), {
      encoding: "utf8",
    });
    assert.ok(existsSync(file) && readFileSync(file).subarray(0, 5).toString() === "%PDF-");
    const info = execFileSync("pdfinfo", [file], { encoding: "utf8" });
    assert.match(info, /^Pages: +[12]$/m);
    assert.match(info, /^Page size: +595\.\d+ x 841\.\d+ pts \(A4\)$/m);
    // nothing is drawn outside of the paper: all that was put is found again
    const text = words(execFileSync("pdftotext", ["-raw", file, "-"], { encoding: "utf8" }));
    for (const { title, rows } of sheetParts()) {
      assert.ok(text.includes(title), title);
      for (const { head, text: said } of rows)
        assert.ok(text.includes(words(`${head} ${said}`).trim()), head);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("no command and no error number is missing", () => {
  const heads = sheetParts().flatMap(({ rows }) => rows.map(({ head }) => head));
  const numbers = new Set(heads.flatMap((head) => head.split(" ")));
  for (const word of Object.keys(COMMAND_TEXT))
    assert.ok(
      heads.some((head) => head.startsWith(word)),
      word,
    );
  for (let code = 1; code < 256; code++)
    assert.equal(numbers.has(`E${code}`), errorText(code) !== undefined, `E${code}`);
  for (const [name, alert] of Object.entries(codes)) {
    if (typeof alert !== "number" || alertName(alert) !== name.toLowerCase()) continue;
    assert.ok(numbers.has(`E${codes.RECEIVED + alert}`) && numbers.has(`E${codes.SENT + alert}`), name);
  }
});
