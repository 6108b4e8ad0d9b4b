// Masters in a real PKCS#11 token, SoftHSM2: made or imported there, used there, and not to be had back.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { UsageError } from "../cli/exit";
import { parseIdentity } from "../keys/identity";
import { aesKey, deriveDeviceKey, keyCheckValue, SCHEME_NAMES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { makeTokens, SOFTHSM, skipWithoutToken, tokenUri } from "../test/token";
import { openMaster } from "./master";
import { Secrets } from "./secrets";
import { createTokenKey, openTokenKey, parseTokenUri } from "./token";

const PIN = "1357 abc";
const pin = Buffer.from(PIN);
const uri = (object: string, token = "gate way") => parseTokenUri(tokenUri(token, object));

/** What a thief of the PIN can do: a session of his own, logged in as the user, through the module itself. */
function thief() {
  const p11 = createRequire(import.meta.url)("pkcs11js");
  const module = new p11.PKCS11();
  module.load(SOFTHSM);
  const slot = module
    .C_GetSlotList(true)
    .find((one: Buffer) => module.C_GetTokenInfo(one).label.trim() === "gate way");
  const session = module.C_OpenSession(slot, p11.CKF_SERIAL_SESSION | p11.CKF_RW_SESSION);
  module.C_Login(session, p11.CKU_USER, PIN);
  return { p11, module, session };
}

describe("a master in a token", { skip: skipWithoutToken() }, () => {
  const folder = mkdtempSync(join(tmpdir(), "token-"));
  before(() => makeTokens(folder, { "gate way": PIN, other: "246810" }));
  after(() => rmSync(folder, { recursive: true }));

  for (const scheme of SCHEME_NAMES) {
    test(`R1 imported, scheme ${scheme}: derives what the same bytes derive outside, for every length of serial`, async () => {
      const value = randomKey();
      const { key } = await createTokenKey(uri(`in-${scheme}`), pin, "ota", scheme, value);
      key.close();
      const place = tokenUri("gate way", `in-${scheme}`);
      writeFileSync(join(folder, "pin"), `${PIN}\n`, { mode: 0o600 });
      const secrets = new Secrets({ "passphrase-file": [join(folder, "pin")] }, ["master"]);
      const master = await openMaster(place, { secrets, name: "master" });
      assert.equal(master.purpose, "ota");
      assert.equal(master.scheme, scheme);
      assert.equal(master.checkValue(), keyCheckValue(value));
      for (let length = 1; length <= (scheme === "aes-serial" ? 16 : 31); length++) {
        const identity = parseIdentity(`v1.meter.${"S".repeat(length)}`);
        assert.deepEqual(master.deviceKey(identity), deriveDeviceKey(value, identity, scheme, "ota"));
      }
      master.close();
    });
  }

  test("R1 made there: known nowhere else, and derives", async () => {
    const made = await createTokenKey(uri("made"), pin, "psk", "kdf");
    made.key.close();
    const key = await openTokenKey(uri("made"), pin);
    assert.match(key.about, /made there/);
    assert.equal(key.purpose, "psk");
    const identity = parseIdentity("v1.meter.SN1");
    const derived = deriveDeviceKey(key, identity);
    assert.deepEqual(derived, deriveDeviceKey(key, identity));
    assert.notDeepEqual(derived, deriveDeviceKey(key, parseIdentity("v1.meter.SN2")));
    key.close();
  });

  for (const [name, value] of [
    ["imported", randomKey()],
    ["made there", undefined],
  ] as const) {
    test(`R25 ${name}: its value cannot be read, wrapped, copied out or its attributes loosened`, async () => {
      const object = `hidden-${value ? "in" : "made"}`;
      (await createTokenKey(uri(object), pin, "psk", "kdf", value)).key.close();
      const { p11, module, session } = thief();
      module.C_FindObjectsInit(session, [{ type: p11.CKA_LABEL, value: object }]);
      const [handle] = module.C_FindObjects(session, 2);
      module.C_FindObjectsFinal(session);
      const read = (type: number) => module.C_GetAttributeValue(session, handle, [{ type }])[0].value;
      assert.equal(read(p11.CKA_LABEL).toString(), object); // reading as such works
      assert.throws(() => read(p11.CKA_VALUE), /CKR_ATTRIBUTE_SENSITIVE/);
      for (const [type, loose] of [
        [p11.CKA_SENSITIVE, false],
        [p11.CKA_EXTRACTABLE, true],
        [p11.CKA_ENCRYPT, true],
      ]) {
        assert.throws(() => module.C_SetAttributeValue(session, handle, [{ type, value: loose }]), /CKR_/);
        assert.throws(() => module.C_CopyObject(session, handle, [{ type, value: loose }]), /CKR_/);
      }
      const wrapping = module.C_GenerateKey(session, { mechanism: p11.CKM_AES_KEY_GEN }, [
        { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
        { type: p11.CKA_KEY_TYPE, value: p11.CKK_AES },
        { type: p11.CKA_VALUE_LEN, value: 16 },
        { type: p11.CKA_WRAP, value: true },
      ]);
      const wrap = (key: Buffer) =>
        module.C_WrapKey(session, { mechanism: p11.CKM_AES_KEY_WRAP }, wrapping, key, Buffer.alloc(64));
      assert.throws(() => wrap(handle), /CKR_KEY_UNEXTRACTABLE/);
      assert.throws(
        () =>
          module.C_EncryptInit(session, { mechanism: p11.CKM_AES_CBC, parameter: Buffer.alloc(16) }, handle),
        /CKR_KEY_FUNCTION_NOT_PERMITTED/,
      );
      module.C_CloseSession(session);
    });
  }

  test("R1 published and repeated keys are refused though nobody can read them; a key that can be taken out as well", async () => {
    const weak = {
      published: Buffer.from("2b7e151628aed2a6abf7158809cf4f3c", "hex"),
      zero: Buffer.alloc(16),
      repeated: Buffer.alloc(16, 0xa7),
    };
    for (const [name, value] of Object.entries(weak)) {
      (await createTokenKey(uri(name), pin, "psk", "kdf", value)).key.close();
      await assert.rejects(openTokenKey(uri(name), pin), /published|repeated/);
    }
    const { p11, module, session } = thief();
    module.C_CreateObject(session, [
      { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
      { type: p11.CKA_KEY_TYPE, value: p11.CKK_AES },
      { type: p11.CKA_TOKEN, value: true },
      { type: p11.CKA_SIGN, value: true },
      { type: p11.CKA_SENSITIVE, value: false },
      { type: p11.CKA_EXTRACTABLE, value: true },
      { type: p11.CKA_LABEL, value: "open" },
      { type: p11.CKA_VALUE, value: randomKey() },
    ]);
    module.C_CloseSession(session);
    await assert.rejects(openTokenKey(uri("open"), pin), /can be taken out of the token/);
  });

  test("R25 wrong PIN, wrong token, wrong key, wrong module: a sentence each, without the PIN", async () => {
    const wrong = Buffer.from("8642 xyz");
    const cases: [Promise<unknown>, RegExp][] = [
      [openTokenKey(uri("made"), wrong), /^the token "gate way" does not open: the PIN is wrong\.$/],
      [openTokenKey(uri("made", "elsewhere"), pin), /^the token "elsewhere" is not there\.$/],
      [openTokenKey(uri("absent"), pin), /^the key "absent" in the token "gate way" is not there\.$/],
      [createTokenKey(uri("made"), pin, "psk", "kdf"), /is there already, and keys are not written over/],
      [
        openTokenKey({ ...uri("made"), modulePath: "/nowhere.so" }, pin),
        /^the PKCS#11 module \/nowhere\.so cannot/,
      ],
    ];
    for (const [attempt, sentence] of cases) {
      await assert.rejects(attempt, (error: Error) => {
        assert.ok(error instanceof UsageError, error.stack);
        assert.match(error.message, sentence);
        assert.ok(!error.message.includes("8642") && !error.message.includes(PIN));
        return true;
      });
    }
  });

  test("a key that is used after its session has ended is a failure of the device, in words", async () => {
    const key = await openTokenKey(uri("made"), pin);
    key.close();
    assert.throws(() => key.cmac(Buffer.alloc(16)), {
      name: "DeviceError",
      message: /cannot be used: its session/,
    });
  });

  test("a key at hand and one in the token are the same to those who use them", async () => {
    const value = randomKey();
    const { key, remove } = await createTokenKey(uri("same"), pin, "console", "an10922", value);
    for (const length of [1, 15, 16, 17, 64, 200])
      assert.deepEqual(key.cmac(Buffer.alloc(length, 7)), aesKey(value).cmac(Buffer.alloc(length, 7)));
    assert.deepEqual(key.cbc(Buffer.alloc(48, 9)), aesKey(value).cbc(Buffer.alloc(48, 9)));
    remove();
    key.close();
    await assert.rejects(openTokenKey(uri("same"), pin), /is not there/);
  });
});

describe("pkcs11 URIs", () => {
  test("RFC 7512's parts that are used, percent signs undone", () => {
    assert.deepEqual(
      parseTokenUri("pkcs11:token=a%20b;object=psk;serial=12?module-path=/m.so&pin-source=file:/run/pin"),
      {
        token: "a b",
        object: "psk",
        serial: "12",
        modulePath: "/m.so",
        pinSource: "/run/pin",
      },
    );
  });

  const refused: Record<string, string> = {
    "R25 a PIN in it": "pkcs11:token=a;object=b?module-path=/m.so&pin-value=Hush4711",
    "a part that is not known": "pkcs11:token=a;object=b;pin=Hush4711?module-path=/m.so",
    "a part twice": "pkcs11:token=a;token=Hush4711;object=b?module-path=/m.so",
    "no token": "pkcs11:object=b?module-path=/Hush4711.so",
    "no object": "pkcs11:token=a?module-path=/Hush4711.so",
    "no module": "pkcs11:token=a;object=Hush4711",
    "a broken percent sign": "pkcs11:token=a%2;object=Hush4711?module-path=/m.so",
    "another type": "pkcs11:token=a;object=b;type=private?module-path=/Hush4711.so",
  };
  for (const [name, text] of Object.entries(refused)) {
    test(`${name} is refused, and the URI is not shown`, () =>
      assert.throws(
        () => parseTokenUri(text),
        (error: Error) => error instanceof UsageError && !error.message.includes("Hush"),
      ));
  }
});
