// Settings as they are typed: passwords byte for byte and as WPA2 takes them, and from when on a change counts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineFault } from "./session";
import { lineOf, passwordFault, settingEffect, settingFault } from "./settings_text";

test("a value keeps the spaces at its end, every other line has none around it", () => {
  assert.equal(lineOf("  conf set pass  two  spaces  "), "conf set pass  two  spaces  ");
  assert.equal(lineOf("  status \r"), "status");
  assert.equal(lineOf("conf set pass "), "conf set pass ");
});

test("WPA2: 8 to 63 bytes, 64 hex digits, or none at all; each fits into a line of the device", () => {
  const hex = "0123456789abcdefABCDEF0123456789".repeat(2);
  for (const good of ["", "12345678", " spaces ", "x".repeat(63), "Füße 12", hex]) {
    assert.equal(passwordFault(good), undefined, good);
    assert.equal(lineFault(`conf set pass ${good}`), undefined, good);
  }
  for (const bad of ["1234567", "x".repeat(64), hex.slice(1) + "g", `${hex}0`, "ü".repeat(32)])
    assert.match(passwordFault(bad) ?? "", /8 to 63 bytes/, bad);
  assert.match(settingFault("conf set pass short") ?? "", /this one has 5 bytes/);
  assert.match(settingFault("CONF SET PASS short") ?? "", /this one has 5 bytes/);
  assert.equal(settingFault("conf set host x"), undefined);
});

test("what a server must have is not loosened at the console", () => {
  assert.match(settingFault("conf set ems 0") ?? "", /provisioned so .*--without-extended-master-secret/);
  assert.equal(settingFault("conf set ems 1"), undefined);
});

test("a change says from when on it counts", () => {
  assert.match(settingEffect("conf set host broker.example") ?? "", /next session; hs begins one/);
  assert.match(settingEffect("conf set pass x") ?? "", /reboot/);
  assert.equal(settingEffect("conf get"), undefined);
  assert.equal(settingEffect("conf set id x"), undefined);
});
