// Power cuts at the factory, on a simulated board: in the writing of the key record and in the wipe, once everywhere, and once
// more in what the next start makes of it (scripts/lib/power_cuts.ts; make powercuts: everywhere too).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cutPower } from "../scripts/lib/power_cuts";
import type { TestDevice } from "../scripts/lib/test_device";
import {
  ask,
  bootFactory,
  isPromptOpen,
  mac,
  newKeys,
  PASSPHRASE,
  readableIn,
  settled,
  startWith,
} from "../scripts/lib/test_factory";

const BOARD = "mdbt42q-w5500-sim";
/** Stands for what a wipe has to overwrite besides the keys. */
const SHORT_FILES = { provision: "x".repeat(10), conf: `{"id":"v1.s.1","pass":"${PASSPHRASE}"}` };

const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});
const factory = async (...options: Parameters<typeof bootFactory>) => {
  const device = await bootFactory(...options);
  devices.push(device);
  return device;
};
let program = "";
before(async () => {
  program = (await factory(BOARD)).machine.read("provision") as string;
});

for (const { name, hasPlace } of [
  { name: "into the place of the image", hasPlace: true },
  { name: "as a new file", hasPlace: false },
])
  test(`R23 power fails in the writing of the keys ${name}: all of them or nothing readable, and it can be done again`, async (t) => {
    const device = await factory(BOARD, SHORT_FILES);
    const { machine } = device;
    if (!hasPlace) machine.runtime.storage.erase("key");
    const keys = newKeys();
    const code = machine.read(".bootrst");
    const image = Buffer.from(machine.flash.bytes);
    const write = () => machine.run(`provision("key ${keys.record.toString("base64")}")`);
    let locked = 0;
    let blank = 0;
    const report = await cutPower(
      {
        machine,
        async prepare() {
          await startWith(machine, image);
          machine.run(`eval(${JSON.stringify(program)})`);
        },
        operate: () => void write(),
        judge(place) {
          assert.ok(machine.runtime.storage.isValid, place);
          assert.equal(machine.read(".bootrst"), code, place);
          if (isPromptOpen(device)) {
            assert.equal(readableIn(machine, keys.all), undefined, place);
            if (blank++ % 13) return;
            machine.run(`eval(${JSON.stringify(program)})`);
            write();
            machine.boot();
          } else locked++;
          assert.equal(isPromptOpen(device), false, place);
          assert.equal(machine.read("key"), keys.record.toString("latin1"), place);
        },
        sample: hasPlace ? 40 : 200,
      },
      t,
    );
    assert.equal(report.operations, hasPlace ? 1 : 2);
    assert.ok(report.once > (hasPlace ? 120 : 160), `${report.once} cuts`);
    // the last cut is after all of it; before it only a torn last byte may have all its bits
    assert.ok(locked >= 1 && locked <= 2, `${locked} were locked`);
    assert.ok(report.twice > 10_000, `${report.twice} second cuts`);
  });

test("R23 R30 power fails in the factory reset: whole before it, nothing readable once the prompt is open", async (t) => {
  const keys = newKeys();
  const device = await factory(BOARD, { ...SHORT_FILES, key: keys.record.toString("latin1") });
  const { machine } = device;
  const code = machine.read(".bootrst");
  const image = Buffer.from(machine.flash.bytes);
  const secrets = [...keys.all, Buffer.from(PASSPHRASE)];
  let request = "";
  const report = await cutPower(
    {
      machine,
      async prepare() {
        await startWith(machine, image);
        const nonce = Buffer.from(await ask(device, "erase"), "base64");
        request = `erase ${mac(keys.console, "conr", nonce).toString("base64")}\n`;
      },
      async operate() {
        machine.type(request);
        await settled();
      },
      judge(place) {
        assert.equal(machine.read(".bootrst"), code, place);
        assert.ok(machine.runtime.storage.isValid, place);
        if (isPromptOpen(device)) {
          assert.equal(readableIn(machine, secrets), undefined, place);
          // at most a record's header with a torn name, over zeros
          for (const [name, data] of Object.entries(machine.files))
            if (name !== ".bootrst") assert.match(data, /^\0*$/, place);
        } else assert.equal(machine.read("key"), keys.record.toString("latin1"), place);
      },
      sample: 10,
    },
    t,
  );
  assert.ok(report.operations > 50, `${report.operations} operations`);
  assert.ok(report.once >= 5 * report.operations, `${report.once} cuts`);
  assert.ok(report.twice > 10_000, `${report.twice} second cuts`);
});
