// What the bench brings along, on the simulated boards: self-test, with each part failing; the key record, written once.
// Power cuts in it: power_cuts.test.ts.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { parseIdentity } from "../../scripts/lib/keys/identity";
import { deriveDeviceKey, keyCheckValue, proofKey } from "../../scripts/lib/keys/kdf";
import { IDENTITY, SIMULATED_BOARDS, type TestDevice } from "../../scripts/lib/test/device";
import {
  ask,
  bootFactory,
  isPromptOpen,
  mac,
  newKeys,
  PLACE,
  provision,
  recordOf,
} from "../../scripts/lib/test/factory";
import {
  AES_WRONG,
  FLASH_FAILED,
  HASH_WRONG,
  KEY_REFUSED,
  NO_NETWORK,
  NOISE_DEAD,
  NOISE_PROPORTION,
  NOISE_REPETITION,
  REQUEST_UNKNOWN,
} from "../tls/alert";

const BOARD = "mdbt42q-w5500-sim";
const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});
const factory = async (...options: Parameters<typeof bootFactory>) => {
  const device = await bootFactory(...options);
  devices.push(device);
  return device;
};
const write = (device: TestDevice, record: Buffer) => provision(device, `key ${record.toString("base64")}`);

for (const board of SIMULATED_BOARDS)
  test(`R23 R25 a blank board is tested, takes its keys once, is locked and proves them, on ${board}`, async () => {
    const device = await factory(board);
    assert.equal(isPromptOpen(device), true);
    assert.equal(await provision(device, "test"), "E0");
    const keys = newKeys();
    const operations = () => device.machine.flash.operations.length;
    device.machine.cutPower(undefined);
    assert.equal(await write(device, keys.record), "E0");
    assert.equal(operations(), 1, "one flash operation");
    assert.ok(!device.lines.join("\n").includes(keys.record.toString("base64")));
    // written once: not another, not the same, before the restart and after
    for (const record of [newKeys().record, keys.record]) {
      assert.equal(await write(device, record), `E${KEY_REFUSED}`);
      assert.equal(operations(), 1);
    }
    device.machine.boot();
    assert.equal(isPromptOpen(device), false);
    const nonce = randomBytes(11);
    const [identity, , bytes] = (await ask(device, `prove ${nonce.toString("base64")}`)).split(" ");
    assert.equal(identity, IDENTITY);
    const proofs = keys.all.map((key) => mac(proofKey(key), "prove", nonce));
    assert.deepEqual(Buffer.from(bytes, "base64"), Buffer.concat([keys.record.subarray(64), ...proofs]));
    // and even if the program could be run, it would not
    assert.equal(device.machine.read("key"), keys.record.toString("latin1"));
  });

test("R1 R3 the check values are those of the bench: keys derived for each identity, no two alike", async () => {
  const masters = [0, 1, 2, 3].map(() => randomBytes(16));
  const seen = new Set<string>();
  for (const serial of ["0001", "0002", "0003"]) {
    const identity = parseIdentity(`v1.sensor.${serial}`);
    const keys = recordOf(masters.map((master) => deriveDeviceKey(master, identity)));
    const device = await factory(BOARD);
    assert.equal(await write(device, keys.record), "E0");
    device.machine.boot();
    const values = Buffer.from((await ask(device, "prove")).split(" ")[2], "base64").subarray(0, 12);
    const expected = keys.all.map((key) => keyCheckValue(key)).join("");
    assert.equal(values.toString("hex").toUpperCase(), expected.toUpperCase());
    for (let i = 0; i < 12; i += 3) seen.add(values.toString("hex", i, i + 3));
  }
  assert.equal(seen.size, 12);
});

test("a record that is not whole is refused and nothing is written", async () => {
  const device = await factory(BOARD);
  const { record } = newKeys();
  device.machine.cutPower(undefined);
  const bad: Buffer[] = [Buffer.alloc(0), record.subarray(0, 75), Buffer.concat([record, Buffer.alloc(1)])];
  for (let i = 0; i < record.length; i++) {
    const flipped = Buffer.from(record);
    flipped[i] ^= 1 << (i % 8);
    bad.push(flipped);
  }
  for (const each of bad) assert.equal(await write(device, each), `E${KEY_REFUSED}`, each.toString("hex"));
  for (const request of ["", "key", "keys", "write", "\0", "x".repeat(300)])
    assert.equal(await provision(device, request), `E${REQUEST_UNKNOWN}`, request);
  assert.deepEqual(device.machine.flash.operations, []);
  assert.equal(device.machine.read("key"), PLACE);
});

test("the self-test names what fails", async () => {
  const spoil = async (code: string, board: (typeof SIMULATED_BOARDS)[number] = "esp32-sim") => {
    const device = await factory(board);
    device.machine.run(code);
    return provision(device, "test");
  };
  const aes = (method: string) =>
    `(function(a){var real=a.${method};a.${method}=function(d,k,o){var r=real(d,k,o);new Uint8Array(r)[3]^=1;return r}})(require("crypto").AES)`;
  assert.equal(await spoil(aes("encrypt")), `E${AES_WRONG}`);
  assert.equal(await spoil(aes("decrypt")), `E${AES_WRONG}`);
  const hash = (name: string) =>
    `(function(c){var real=c.${name};c.${name}=function(d){var r=real(d),a=new Uint8Array(r);for(var i=0;i<a.length;i++)a[i]^=128;return r}})(require("crypto"))`;
  assert.equal(await spoil(hash("SHA1")), `E${HASH_WRONG}`);
  assert.equal(await spoil(hash("SHA256")), `E${HASH_WRONG}`);
  // cells that hold no 1, no 0, and a Storage that is full
  const cells = (result: string) =>
    `(function(s){var real=s.read;s.read=function(n,o,l){var t=real(n,o,l);return n=="test"&&t?${result}:t}})(require("Storage"))`;
  assert.equal(await spoil(cells('t.substr(1)+"\\0"')), `E${FLASH_FAILED}`);
  assert.equal(
    await spoil('require("Storage").write=function(){throw new Error("full")}'),
    `E${FLASH_FAILED}`,
  );
  assert.equal(await spoil('require("Storage").erase=function(){}'), `E${FLASH_FAILED}`);
});

test("R13 the self-test names the fault of the noise", async () => {
  for (const [noise, codes] of [
    ["stuck", [NOISE_REPETITION, NOISE_PROPORTION]],
    ["biased", [NOISE_PROPORTION, NOISE_REPETITION]],
    ["dead", [NOISE_DEAD, NOISE_REPETITION]],
  ] as const) {
    const device = await factory(BOARD, {}, { noise });
    const answer = await provision(device, "test");
    assert.ok(
      codes.some((code) => answer === `E${code}`),
      `${noise}: ${answer}`,
    );
  }
});

test("R29 the self-test tells that the radio does not get through", async () => {
  const device = await factory("esp32-sim", {}, { network: { up: false, failures: 100 } });
  assert.equal(await provision(device, "test"), `E${NO_NETWORK}`);
  const good = await factory("esp32-sim", {}, { network: { up: false } });
  assert.equal(await provision(good, "test"), "E0");
});

test("the self-test leaves Storage as it was but for deleted scratch files", async () => {
  const device = await factory(BOARD);
  const { files } = device.machine;
  for (let i = 0; i < 3; i++) assert.equal(await provision(device, "test"), "E0");
  assert.deepEqual(device.machine.files, files);
  assert.equal(device.machine.flash.refusedBits, 0);
});
