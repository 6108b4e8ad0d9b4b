// Identities: what one may be, what is refused, and that no byte is changed.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { identityFault, parseIdentity, parsePresented, topicPrefix } from "./identity";
import { kbkdf } from "./kdf";
import { randomKey } from "./weak_keys";

describe("R12 identities", () => {
  const randomMaster = randomKey();
  test("R12 a good one is taken apart and never changed", () => {
    const identity = parseIdentity("v12.meter.SN_0-1");
    assert.deepEqual(identity, {
      text: "v12.meter.SN_0-1",
      keyVersion: 12,
      product: "meter",
      serial: "SN_0-1",
    });
    assert.equal(topicPrefix(identity), "meter/SN_0-1/");
  });

  test("R12 64 bytes are taken, 65 are not", () => {
    const longest = `v1.m.${"S".repeat(59)}`;
    assert.equal(longest.length, 64);
    assert.equal(parseIdentity(longest).text, longest);
    assert.throws(() => parseIdentity(`${longest}S`), /longer than 64/);
  });

  test("R12 compared as bytes: case and digits matter", () => {
    const keys = ["v1.meter.sn1", "v1.meter.SN1", "v1.METER.sn1"].map((text) =>
      kbkdf(randomMaster, "psk", text).toString("hex"),
    );
    assert.equal(new Set(keys).size, 3);
  });

  const refused: Record<string, string> = {
    empty: "",
    NUL: "v1.meter.SN1\0",
    "NUL inside": "v1.meter\0.SN1",
    colon: "v1.meter.SN:1",
    "UTF-8": "v1.mètre.SN1",
    "line feed": "v1.meter.SN1\n",
    delete: "v1.meter.SN1\x7f",
    "no version": "meter.SN1",
    "version 0": "v0.meter.SN1",
    "leading zero": "v01.meter.SN1",
    "capital V": "V1.meter.SN1",
    "huge version": "v123456.meter.SN1",
    "no serial": "v1.meter",
    "empty serial": "v1.meter.",
    "empty product": "v1..SN1",
    "four parts": "v1.meter.SN1.x",
    slash: "v1.meter/other.SN1",
    plus: "v1.meter.+",
    hash: "v1.#.SN1",
    space: "v1.meter.SN 1",
    dollar: "v1.$SYS.SN1",
    "a hyphen in the product": "v1.meter-a.1",
  };
  for (const [name, text] of Object.entries(refused)) {
    test(`R12 refused: ${name}`, () => assert.throws(() => parseIdentity(text), UsageError));
  }

  test("R12 R38 at the handshake an epoch may stand behind it, in one way of writing", () => {
    const identity = parseIdentity("v1.meter.SN1");
    for (const [epoch, text] of [
      [0, "0"],
      [0x2f0, "2f0"],
      [0xffffff, "ffffff"],
    ])
      assert.deepEqual(parsePresented(`v1.meter.SN1.e${text}`), { ...identity, epoch });
    // a serial that looks like an epoch is a serial
    for (const text of ["v1.meter.SN1", "v1.meter.e2f0", `v1.m.${"S".repeat(59)}`])
      assert.deepEqual(parsePresented(text), parseIdentity(text));
    const longest = `v1.m.${"S".repeat(51)}.effffff`;
    assert.equal(longest.length, 64);
    assert.equal(parsePresented(longest).epoch, 0xffffff);
    const refused = ["e", "e00", "e02f0", "E2f0", "e2F0", "e1000000", "e2f0.e2f0", "e-1", "e1 ", "2f0"];
    for (const end of refused) assert.throws(() => parsePresented(`v1.meter.SN1.${end}`), UsageError, end);
    for (const text of [
      `v1.m.${"S".repeat(52)}.effffff`,
      "v1.meter.e2f0.e2f0.e1",
      "meter.SN1.e1",
      "v1.meter..e1",
    ])
      assert.throws(() => parsePresented(text), UsageError, text);
    assert.throws(() => parseIdentity("v1.meter.SN1.e2f0"), UsageError, "no identity by itself");
  });

  test("R12 what any TLS-PSK identity may hold is the wider rule", () => {
    assert.equal(identityFault("any printable ~ text"), undefined);
    assert.match(identityFault("a:b") ?? "", /colon/);
  });
});
