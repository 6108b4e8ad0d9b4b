// Nothing is destroyed on a guess, on simulated boards: false results of the cipher at every place of a start, and flipped bits in
// every part of the key record. Cuts of our own writing: power_cuts.test.ts.
import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { after, test } from "node:test";
import type { Runtime } from "../../hal/simulator/runtime";
import { proofKey } from "../../scripts/lib/keys/kdf";
import type { TestDevice } from "../../scripts/lib/test/device";
import {
  ask,
  bootFactory,
  isPromptOpen,
  type Keys,
  mac,
  newKeys,
  settled,
  startWith,
  unlock,
} from "../../scripts/lib/test/factory";
import { AES_WRONG, ANSWER_WRONG, KEY_REFUSED } from "../tls/alert";

const NO_NETWORK = { up: false, failures: Number.POSITIVE_INFINITY };
/** Where the record lies in flash: behind the header of the first file. */
const RECORD = 32;
const NAMES = ["psk", "ota", "console", "rekey"];

const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});

/** A device without a network, whose cipher spoils the block that `spoils` names by its number since power-on. */
async function deviceWith(board: "mdbt42q-w5500-sim" | "esp32-sim", keys: Keys) {
  const cipher = { nth: 0, spoils: (_nth: number) => false };
  const onPowerOn = (runtime: Runtime) => {
    cipher.nth = 0;
    if (board === "mdbt42q-w5500-sim") runtime.nrfEcb.spoils = () => cipher.spoils(cipher.nth++);
    else {
      const library = (runtime.globals.require as (name: string) => any)("crypto").AES;
      const encrypt = library.encrypt;
      library.encrypt = (...args: unknown[]) => {
        const result = encrypt(...args);
        if (cipher.spoils(cipher.nth++)) new Uint8Array(result)[3] ^= 16;
        return result;
      };
    }
  };
  const device = await bootFactory(
    board,
    { key: keys.record.toString("latin1") },
    { network: NO_NETWORK, onPowerOn },
  );
  devices.push(device);
  return { device, machine: device.machine, cipher };
}

/** The record as it lies in flash, and that the prompt is shut. */
function held(device: TestDevice, place: string): Buffer {
  assert.equal(isPromptOpen(device), false, place);
  return Buffer.from(device.machine.flash.bytes.subarray(RECORD, RECORD + 76));
}

/** Codes of the events that the device has noted, newest first. */
async function noted(device: TestDevice): Promise<number[]> {
  await ask(device, "log");
  await settled();
  return device.lines.map((line) => Number(JSON.parse(line).err));
}

for (const board of ["mdbt42q-w5500-sim", "esp32-sim"] as const)
  test(`R31 one false result of AES at any place of a start destroys nothing, on ${board}`, async () => {
    const keys = newKeys();
    const { device, machine, cipher } = await deviceWith(board, keys);
    const whole = Buffer.from(machine.flash.bytes);
    await startWith(machine, whole);
    const places = cipher.nth;
    assert.ok(places >= 4, `${places} calls at a start`);
    // the places of a second look come on top
    for (let place = 0; place < places + 8; place++) {
      cipher.spoils = (nth) => nth === place;
      await startWith(machine, whole);
      assert.deepEqual(held(device, `call ${place}`), keys.record);
      cipher.spoils = () => false;
      // it goes on with its keys, whatever it had to tell
      assert.equal(await unlock(device, keys.console), 0, `call ${place}`);
      await startWith(machine, Buffer.from(machine.flash.bytes));
      assert.deepEqual(held(device, `the start after call ${place}`), keys.record);
      assert.equal(await unlock(device, keys.console), 0);
    }
  });

test("R31 a cipher that is always wrong is named, and nothing is destroyed", async () => {
  const keys = newKeys();
  const { device, machine, cipher } = await deviceWith("mdbt42q-w5500-sim", keys);
  const whole = Buffer.from(machine.flash.bytes);
  cipher.spoils = () => true;
  await startWith(machine, whole);
  assert.deepEqual(held(device, "wrong"), keys.record);
  const codes = await noted(device);
  assert.ok(codes.includes(AES_WRONG) && !codes.includes(KEY_REFUSED), `${codes}`);
  cipher.spoils = () => false;
  await startWith(machine, Buffer.from(machine.flash.bytes));
  assert.equal(await unlock(device, keys.console), 0);
});

for (const [nth, name] of NAMES.entries())
  test(`R31 a bit of the ${name} key, or of its check value, flips: it is told, and costs what that key does`, async () => {
    const keys = newKeys();
    const { device, machine } = await deviceWith("mdbt42q-w5500-sim", keys);
    const whole = Buffer.from(machine.flash.bytes);
    const bytes = [0, 3, 8, 13, 15].map((i) => 16 * nth + i);
    // the very last byte is the next test's
    for (const at of [...bytes, 64 + 3 * nth, 65 + 3 * nth]) {
      const place = `byte ${at}`;
      const spoilt = Buffer.from(whole);
      spoilt[RECORD + at] ^= 1 << randomInt(8);
      await startWith(machine, spoilt);
      assert.deepEqual(held(device, place), Buffer.from(spoilt.subarray(RECORD, RECORD + 76)), place);
      assert.ok((await noted(device)).includes(KEY_REFUSED), place);
      const isConsole = name === "console" && at < 64;
      assert.equal(await unlock(device, keys.console), isConsole ? ANSWER_WRONG : 0, place);
      // and the bit is right again
      const mended = Buffer.from(machine.flash.bytes);
      mended[RECORD + at] = whole[RECORD + at];
      await startWith(machine, mended);
      assert.deepEqual(held(device, place), keys.record);
      const nonce = randomBytes(11);
      const proof = (await ask(device, `prove ${nonce.toString("base64")}`)).split(" ")[2];
      const proofs = keys.all.map((key) => mac(proofKey(key), "prove", nonce));
      assert.deepEqual(Buffer.from(proof, "base64"), Buffer.concat([keys.record.subarray(64), ...proofs]));
    }
  });

test("R31 R23 the last byte of all is what a cut may have torn: bits that are not written yet are made good, others stay", async () => {
  const keys = newKeys();
  const { device, machine } = await deviceWith("mdbt42q-w5500-sim", keys);
  const whole = Buffer.from(machine.flash.bytes);
  const last = RECORD + 75;
  for (let bit = 1; bit < 256; bit *= 2) {
    const spoilt = Buffer.from(whole);
    spoilt[last] ^= bit;
    await startWith(machine, spoilt);
    held(device, `bit ${bit}`);
    assert.equal(machine.flash.bytes[last], whole[last] & spoilt[last]);
    assert.equal(await unlock(device, keys.console), 0);
  }
});
