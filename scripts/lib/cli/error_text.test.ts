// Every code that firmware/tls/alert.ts names has its sentence; every sentence is one.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import * as codes from "../../../firmware/tls/alert";
import { nodeArguments } from "../test/program";
import { alertName, errorCode, errorText } from "./error_text";

const BASES = ["RECEIVED", "SENT", "MQTT_REFUSED"];
const named = Object.entries(codes).filter(
  ([name, value]) => typeof value === "number" && !BASES.includes(name),
);
const alerts = named.filter(([name, value]) => alertName(value) === name.toLowerCase());
const own = named.filter((row) => !alerts.includes(row));

test("every own code of alert.ts has a sentence", () => {
  assert.ok(own.length >= 13);
  for (const [name, code] of own) {
    assert.ok(
      code >= 1 && code <= 63,
      `${name} = ${code} is neither an own code nor an alert by its RFC name`,
    );
    assert.match(errorText(code) ?? `nothing for ${name}`, /^[A-Z].*[.?]$/);
  }
  for (let returnCode = 1; returnCode <= 5; returnCode++)
    assert.match(errorText(codes.MQTT_REFUSED + returnCode) ?? "", /^The broker refused/);
});

test("every alert of alert.ts has a sentence of its own for sent and for received", () => {
  assert.ok(alerts.length >= 12);
  for (const [name, alert] of alerts) {
    assert.match(
      errorText(codes.RECEIVED + alert) ?? "",
      new RegExp(`^The server sent alert ${alert} \\(${name.toLowerCase()}\\): .+\\.$`),
    );
    assert.match(
      errorText(codes.SENT + alert) ?? "",
      new RegExp(`^The device ended .* alert ${alert} \\(${name.toLowerCase()}\\): .+\\.$`),
    );
    assert.doesNotMatch(errorText(codes.SENT + alert) ?? "", /no business/, name);
  }
});

test("all 512 alert codes have a sentence, other numbers have none", () => {
  for (let alert = 0; alert < 256; alert++) {
    assert.ok(errorText(256 + alert));
    assert.ok(errorText(512 + alert));
  }
  for (const code of [0, -1, 63, 64, 255, 768, 1.5, Number.NaN])
    assert.equal(errorText(code), undefined, `${code}`);
});

test("an error line of the console is recognised, other lines are not", () => {
  assert.equal(errorCode("E532"), 532);
  assert.equal(errorCode("E1\r"), 1);
  for (const line of ["E", "E1234", "Error: x", "e12", "xE12"]) assert.equal(errorCode(line), undefined);
});

const run = promisify(execFile);
const explain = (...argv: string[]) =>
  run(process.execPath, nodeArguments("scripts/explain.ts", ...argv)).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: "" }),
    (error) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );

test("the command explain: a sentence and exit 0, or a sentence on stderr and exit 2", async () => {
  for (const word of ["276", "E276", "e276"]) {
    const { code, stdout } = await explain(word);
    assert.equal(code, 0);
    assert.match(stdout, /alert 20 \(bad_record_mac\)/);
  }
  const all = await explain("--all");
  assert.match(all.stdout, /^E1\s/);
  for (const argv of [[], ["64"], ["E99999"], ["hello"], ["1", "2"], ["--nonsense"]]) {
    const { code, stdout, stderr } = await explain(...argv);
    assert.equal(code, 2, argv.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, /^explain: .+\n$/);
  }
});
