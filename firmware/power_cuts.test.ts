// Power cuts at the factory, on a simulated board: in the writing of the key record and in the wipe, once everywhere, and once
// more in what the next start makes of it (scripts/lib/test/power_cuts.ts; make powercuts: everywhere too).
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { board } from "../boards/mdbt42q-w5500";
import { ROLES } from "../scripts/lib/console/challenge";
import { imageLongest } from "../scripts/lib/ota/layout";
import { bundleOf, type TestDevice } from "../scripts/lib/test/device";
import {
  askObject,
  bootFactory,
  isPromptOpen,
  newKeys,
  PASSPHRASE,
  readableIn,
  settled,
  startWith,
  unlock,
} from "../scripts/lib/test/factory";
import { cutPower } from "../scripts/lib/test/power_cuts";
import { KEYS_BYTES, SLOTS_FILE } from "./ota/manifest";

const BOARD = "mdbt42q-w5500-sim";
/** Stands for what a wipe has to overwrite besides the keys. */
const SHORT_FILES = { provision: "x".repeat(10), conf: `{"id":"v1.s.1","pass":"${PASSPHRASE}"}` };

const NO_NETWORK = { up: false, failures: 1e6 };

const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});

/**
 * A device as it leaves the bench, without a network: it would note in flash that it lost its server, now earlier and now
 * later. `files` go over those that it has.
 */
async function factory(files: Record<string, string> = {}): Promise<TestDevice> {
  const device = await bootFactory(BOARD, { ...SHORT_FILES, ...files }, { network: NO_NETWORK });
  devices.push(device);
  return device;
}

/** Where the keys of the slots lie in `.slots`. */
const AT_KEYS = imageLongest(board);
const KEYS_IN_SLOTS = [AT_KEYS, board.slotBytes + AT_KEYS];

/** Put a record of keys, or what else is as long, over those of the first slots. */
function withKeys(slots: string, ...each: string[]): string {
  return each.reduce(
    (all, keys, nth) => all.slice(0, KEYS_IN_SLOTS[nth]) + keys + all.slice(KEYS_IN_SLOTS[nth] + keys.length),
    slots,
  );
}

/** Make a judge of the firmware: its files are whole, but for keys, and Storage is. */
function firmwareOf({ machine }: TestDevice): (place: string) => void {
  const none = ".".repeat(KEYS_BYTES);
  const withoutKeys = (name: string, data = "") => (name === SLOTS_FILE ? withKeys(data, none, none) : data);
  const whole = Object.entries(machine.files).filter(([name]) => name.startsWith("."));
  assert.equal(whole.length, 3);
  return (place) => {
    assert.ok(machine.runtime.storage.isValid, place);
    for (const [name, data] of whole)
      assert.ok(withoutKeys(name, machine.read(name)) === withoutKeys(name, data), `${place}: ${name}`);
  };
}

test("R23 power fails in the writing of the keys: all of them or nothing readable, and it can be done again", async (t) => {
  const device = await factory();
  const { machine } = device;
  const keys = newKeys();
  const judgeFirmware = firmwareOf(device);
  const image = Buffer.from(machine.flash.bytes);
  const program = (await bundleOf(BOARD, "firmware/boot/provision.ts")).code;
  const write = () => {
    machine.run(`eval(${JSON.stringify(program)})`);
    machine.run(`provision("key ${keys.record.toString("base64")}")`);
  };
  let locked = 0;
  let blank = 0;
  const report = await cutPower(
    {
      machine,
      prepare: async () => void (await startWith(machine, image)),
      operate: write,
      judge(place) {
        judgeFirmware(place);
        if (isPromptOpen(device)) {
          assert.equal(readableIn(machine, keys.all), undefined, place);
          if (blank++ % 13) return;
          write();
          machine.boot();
        } else if (!/then/.test(place)) locked++;
        assert.equal(isPromptOpen(device), false, place);
        assert.equal(machine.read("key"), keys.record.toString("latin1"), place);
      },
      sample: 160,
    },
    t,
  );
  assert.equal(report.operations, 1);
  assert.ok(report.once > 120, `${report.once} cuts`);
  // behind the last key: the check values that are missing are made good; a byte torn at their beginning may look whole
  assert.ok(locked >= 12 && locked <= 26, `${locked} were locked`);
  assert.ok(report.twice > 10_000, `${report.twice} second cuts`);
});

for (const isRekeyed of [false, true])
  test(`R23 R30 power fails in the factory reset${isRekeyed ? " of a device that has got other keys" : ""}: it is whole as before, or nothing is readable and all is done`, async (t) => {
    const keys = newKeys();
    const first = isRekeyed ? newKeys() : keys;
    const files: Record<string, string> = { key: first.record.toString("latin1") };
    if (isRekeyed) {
      // they lie in slot 0, which runs, under version 2; in the other one lie the keys from between
      const slots = (await factory()).machine.read(SLOTS_FILE) as string;
      const lying = (record: Buffer, version: number) =>
        `${record.toString("latin1")}${String.fromCharCode(version)}\0\0\0`;
      files[SLOTS_FILE] = withKeys(slots, lying(keys.record, 3), lying(newKeys().record, 2));
    }
    const device = await factory(files);
    const { machine } = device;
    // what a timer brings is noted in flash, now earlier and now later
    machine.clock.hold();
    const judgeFirmware = firmwareOf(device);
    const image = Buffer.from(machine.flash.bytes);
    const secrets = [...keys.all, ...first.all, Buffer.from(PASSPHRASE)];
    const journal = image.length - 2 * machine.board.journalLength;
    const before = machine.files;
    let request = "";
    const report = await cutPower(
      {
        machine,
        async prepare() {
          await startWith(machine, image);
          assert.equal(await unlock(device, keys.console, ROLES.reset), 0);
          request = `factory ${(await askObject(device, "factory")).code}\n`;
        },
        async operate() {
          machine.type(request);
          await settled();
        },
        judge(place) {
          judgeFirmware(place);
          if (isPromptOpen(device)) {
            assert.equal(readableIn(machine, secrets), undefined, place);
            assert.ok(
              machine.flash.bytes.subarray(journal).every((byte) => byte === 0xff),
              `${place}: journal`,
            );
            // at most a record's header with a torn name, over zeros
            for (const [name, data] of Object.entries(machine.files))
              if (!name.startsWith(".")) assert.match(data, /^\0*$/, place);
          } else {
            for (const name of ["key", "conf"]) assert.equal(machine.read(name), before[name], place);
            assert.equal(machine.value("key"), keys.record.toString("latin1"), place);
          }
        },
        sample: isRekeyed ? 30 : 60,
      },
      t,
    );
    assert.ok(report.operations > 8, `${report.operations} operations`);
    assert.ok(report.once >= 5 * report.operations, `${report.once} cuts`);
    assert.ok(report.twice > 10_000, `${report.twice} second cuts`);
  });
