// Challenges as people read them out, and as a camera sees them in a terminal.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { UsageError } from "../cli/exit";
import { skipWithout } from "../test/peers/install";
import { encodeBase32 } from "./challenge";
import { challengeText, parseChallenge } from "./challenge_text";
import { qrForTerminal } from "./qr";

const NONCE = Buffer.from("0123456789abcdef", "hex");
const DIGITS = encodeBase32(NONCE);
const TEXT = challengeText({ id: "v1.meter.SN1", nonce: DIGITS, boots: 42 });

test("a challenge is read in every way in which it is said", () => {
  const [a, b, c] = [DIGITS.slice(0, 4), DIGITS.slice(4, 8), DIGITS.slice(8)];
  for (const text of [
    TEXT,
    `  ${TEXT}\r\n`,
    `unlock v1.meter.SN1 ${DIGITS.toLowerCase()} 42`,
    `v1.meter.SN1 ${a}-${b}-${c} 42`,
    `v1.meter.SN1 ${a} ${b} ${c} 42`,
    `v1.meter.SN1 ${DIGITS.replaceAll("0", "O").replaceAll("1", "l")} 42`,
  ]) {
    const { identity, nonce, boots } = parseChallenge(text);
    assert.deepEqual([identity.text, nonce, boots], ["v1.meter.SN1", NONCE, 42], text);
  }
  assert.equal(parseChallenge(`v1.meter.SN1 ${DIGITS} 16777215`).boots, 0xffffff);
});

test("what is none is refused in a sentence", () => {
  for (const text of [
    "",
    "UNLOCK",
    "v1.meter.SN1",
    `v1.meter.SN1 ${DIGITS}`,
    `meter.SN1 ${DIGITS} 42`,
    `v1.meter.SN1 ${DIGITS.slice(1)} 42`,
    `v1.meter.SN1 ${DIGITS}0 42`,
    `v1.meter.SN1 U${DIGITS.slice(1)} 42`,
    `v1.meter.SN1 ${DIGITS} 16777216`,
    `v1.meter.SN1 ${DIGITS} -1`,
    `v1.meter.SN1 ${DIGITS} 4e1`,
    `v1.meter.${"S".repeat(60)} ${DIGITS} 1`,
    "x".repeat(10_000),
  ])
    assert.throws(
      () => parseChallenge(text),
      (error) => error instanceof UsageError && /^\S.{5,300}\.$/s.test(error.message),
      text.slice(0, 80),
    );
});

test("the terminal's QR code is read by a scanner", { skip: skipWithout("zbarimg") }, () => {
  const lines = qrForTerminal(TEXT).split("\n");
  // back from characters to a picture: 8 pixels a module, white where a half of a character is drawn in white
  const rows: string[] = [];
  for (const line of lines) {
    assert.ok(line.startsWith("\x1b[97;40m") && line.endsWith("\x1b[0m"));
    const characters = [...line.slice(8, -4)];
    for (const half of ["▀█", "▄█"])
      for (let i = 0; i < 8; i++)
        rows.push(characters.map((each) => (half.includes(each) ? "0 " : "1 ").repeat(8)).join(""));
  }
  const folder = mkdtempSync(join(tmpdir(), "qr-"));
  try {
    const file = join(folder, "code.pbm");
    const width = rows[0].length / 2;
    writeFileSync(file, `P1\n${width} ${rows.length}\n${rows.join("\n")}\n`);
    const { stdout } = spawnSync("zbarimg", ["-q", "--raw", file], { encoding: "utf8" });
    assert.equal(stdout, `${TEXT}\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
