/*
 * The secrets that the profile tls13 keeps of a key (secrets.ts), on simulated flash: what lies there, that each bit of it that is wrong, each place where
 * power is cut in its writing, and each other key is noticed, and how often the page is erased. Then the whole device through the gateway: a factory
 * reset, new keys over the air, and the search of its flash.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { Machine } from "../../hal/simulator/machine";
import { settingsFile } from "../../scripts/lib/bench/settings_file";
import { readBoard } from "../../scripts/lib/bundle/build";
import { ROLES } from "../../scripts/lib/console/challenge";
import { parseIdentity } from "../../scripts/lib/keys/identity";
import { deriveDeviceKey, PURPOSES, type Purpose } from "../../scripts/lib/keys/kdf";
import { piecesPrefix } from "../../scripts/lib/ota/manifest";
import { makeUpdate } from "../../scripts/lib/ota/update_file";
import { bundleOf, type TestDevice } from "../../scripts/lib/test/device";
import { RecordedGateway } from "../../scripts/lib/test/epochs";
import {
  askObject,
  bootLocked,
  CONF,
  isPromptOpen,
  newKeys,
  readableIn,
  recordOf,
  settled,
  startWith,
  unlock,
} from "../../scripts/lib/test/factory";
import { cutPower } from "../../scripts/lib/test/power_cuts";
import {
  KEPT,
  keptOf,
  keptPage,
  keptSecretsOf,
  MAC,
  secretsOfKey,
} from "../../scripts/lib/test/tls13/kept_secrets";
import { testMasters, testRekeys } from "../../scripts/lib/test/update";
import { PROFILES } from "../profiles";

const BOARD = "esp32-sim";
const APP = "scripts/lib/test/apps/secrets_app.ts";

const ends: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** The sections alone, on a machine. */
class Device {
  private constructor(
    readonly machine: Machine,
    public key: Buffer,
  ) {}

  static async on(board = BOARD, profile = "tls13"): Promise<Device> {
    const { code } = await bundleOf(board, APP, {}, {}, profile);
    const keys = newKeys();
    const machine = new Machine({
      board: await readBoard(board),
      bundle: code,
      files: { key: keys.record.toString("latin1") },
    });
    ends.push(() => machine.powerOff());
    machine.boot();
    return new Device(machine, keys.psk);
  }

  get page(): Buffer {
    return keptPage(this.machine);
  }

  /** Have the secrets ready; they are to be the key's. */
  ready(place = ""): void {
    const got = this.machine.run("secrets.ready()") as string;
    assert.equal(Buffer.from(got, "latin1").toString("hex"), keptSecretsOf(this.key).toString("hex"), place);
  }

  /** Boot with other keys in the record, and what lies in the page as it is. */
  rekey(psk: Buffer): void {
    this.key = psk;
    recordOf([psk, ...newKeys().all.slice(1)]).record.copy(this.machine.flash.bytes, 32);
    this.machine.boot();
  }

  erasesOf(operate: () => void): number {
    const before = this.machine.flash.erases;
    operate();
    return this.machine.flash.erases - before;
  }
}

for (const profile of ["tls13", "tls13-gcm"])
  test(`R33 ${profile}: the first session of a key keeps its secrets in the last page, all later ones and starts write nothing`, async () => {
    const device = await Device.on(BOARD, profile);
    assert.ok(device.page.every((byte) => byte === 0xff));
    device.ready();
    const kept = Buffer.from(device.page);
    assert.equal(kept.subarray(0, KEPT).toString("hex"), keptOf(device.key).toString("hex"));
    assert.ok(kept.subarray(KEPT).every((byte) => byte === 0xff));
    for (let start = 0; start < 3; start++) {
      device.machine.boot();
      device.machine.cutPower(undefined);
      for (let session = 0; session < 10; session++) device.ready();
      assert.deepEqual(device.machine.flash.operations, []);
    }
    assert.equal(device.machine.flash.refusedBits, 0);
  });

test("R25 R30 none of the secrets can be read in flash, neither while the key stands nor when it is gone", async () => {
  const device = await Device.on();
  device.ready();
  const secrets = [...secretsOfKey(device.key).values()];
  assert.equal(readableIn(device.machine, secrets), undefined);
  // the search finds what is there
  assert.match(String(readableIn(device.machine, [...secrets, keptOf(device.key)])), /bytes 0 and on/);
  // who has all of flash but the key has no more than random bytes: no secret comes of it under any 16 bytes that lie there
  const { bytes } = device.machine.flash;
  bytes.fill(0, 32, 48);
  const kept = Buffer.from(device.page.subarray(0, KEPT));
  for (let at = 0; at + 16 <= 1024; at++)
    assert.ok(!keptOf(bytes.subarray(at, at + 16)).equals(kept), `${at}`);
});

test("R23 every bit of it flipped: the right secrets all the same; where the MAC was hit they are written anew", async () => {
  const device = await Device.on();
  device.ready();
  const kept = Buffer.from(device.page);
  for (let bit = 0; bit < 8 * KEPT; bit++) {
    kept.copy(device.page);
    device.page[bit >> 3] ^= 1 << (bit & 7);
    const isInMac = bit >> 3 >= KEPT - MAC;
    const damaged = Buffer.from(device.page);
    assert.equal(
      device.erasesOf(() => device.ready(`bit ${bit}`)),
      +isInMac,
      `bit ${bit}`,
    );
    assert.ok(device.page.equals(isInMac ? kept : damaged), `bit ${bit}`);
  }
});

test("R33 a bit of the secrets that does not hold wears nothing out", async () => {
  const device = await Device.on();
  device.machine.flash.onChange = () => void (device.page[40] &= 0x7f);
  device.page[40] &= 0x7f;
  while (keptOf(device.key)[40] < 0x80) device.rekey(randomBytes(16));
  const erases = device.erasesOf(() => {
    for (let session = 0; session < 100; session++) device.ready();
  });
  assert.equal(erases, 1);
});

test("R2 R23 what is of another key, of another device, or nothing at all is computed anew and written once", async () => {
  const device = await Device.on();
  const other = await Device.on();
  other.ready();
  const fillings: [string, Buffer][] = [
    ["of another device", Buffer.from(other.page)],
    ["zeros", Buffer.alloc(device.page.length)],
    ["random bytes", randomBytes(device.page.length)],
    ["erased", Buffer.alloc(device.page.length, 0xff)],
  ];
  for (const [name, filling] of fillings) {
    filling.copy(device.page);
    assert.equal(
      device.erasesOf(() => {
        device.ready(name);
        device.ready(name);
      }),
      1,
      name,
    );
    assert.ok(device.page.subarray(0, KEPT).equals(keptOf(device.key)), name);
  }
  // there and back, as a trial of new keys that fails
  const first = device.key;
  const second = randomBytes(16);
  for (const key of [second, first, second]) {
    device.rekey(key);
    assert.equal(
      device.erasesOf(() => {
        device.ready();
        device.ready();
      }),
      1,
    );
    assert.ok(device.page.subarray(0, KEPT).equals(keptOf(key)));
    assert.equal(device.machine.flash.bytes.indexOf(keptOf(key === first ? second : first)), -1);
  }
});

for (const isRekeyed of [false, true])
  test(`R23 power fails everywhere in the keeping${isRekeyed ? " over what another key has left" : ""}, once and twice: the right secrets, and whole flash by the next but one`, async (t) => {
    const device = await Device.on();
    const { machine } = device;
    if (isRekeyed) {
      device.ready();
      device.rekey(randomBytes(16));
    }
    const fresh = Buffer.from(machine.flash.bytes);
    const operate = () => {
      try {
        device.ready();
      } catch (error) {
        if (!/the power is cut/.test(String(error))) throw error;
      }
    };
    const report = await cutPower(
      {
        machine,
        prepare() {
          machine.powerOff();
          machine.flash.load(fresh);
          machine.boot();
        },
        operate,
        async start(state, cut) {
          machine.powerOff();
          machine.flash.load(state);
          machine.boot();
          machine.cutPower(cut);
          operate();
          return [...machine.flash.operations];
        },
        judge(place) {
          device.ready(place);
          assert.ok(device.page.subarray(0, KEPT).equals(keptOf(device.key)), place);
          device.ready(place);
        },
        sample: isRekeyed ? 997 : 97,
      },
      t,
    );
    assert.equal(report.operations, 2);
    assert.ok(report.once > KEPT && report.twice > KEPT, JSON.stringify(report));
  });

test("a board without a page for it computes them each time, and so does nothing to a file of its own", async () => {
  const device = await Device.on("mdbt42q-w5500-sim");
  device.machine.cutPower(undefined);
  for (let session = 0; session < 3; session++) device.ready();
  assert.deepEqual(device.machine.flash.operations, []);
});

test("R38 no profile has TLS 1.3 and a key for each session, of which nothing may be kept", () => {
  for (const [name, { constants }] of Object.entries(PROFILES))
    assert.ok(!(constants.TLS_1_3 && constants.EPOCHS), name);
});

// --- the whole device -------------------------------------------------------------------------------------------

const IDENTITY = "v1.meter.SN1";
const FAST = { RECONNECT_FIRST_MS: 20, RECONNECT_DOUBLINGS: 0 };

/** A device of the profile, that has its session with a gateway which knows its keys and the next. */
async function bootFleet(): Promise<{
  gateway: RecordedGateway;
  device: TestDevice;
  masters: ReturnType<typeof testMasters>;
  keys: ReturnType<typeof recordOf>;
}> {
  const masters = testMasters();
  const gateway = await RecordedGateway.start(masters.psk, 2);
  ends.push(() => gateway.stop());
  const keys = recordOf(PURPOSES.map((purpose) => keyUnder(masters, purpose, IDENTITY)));
  const conf = { ...JSON.parse(CONF), id: IDENTITY, port: gateway.port };
  const device = await bootLocked(
    BOARD,
    keys,
    { conf: settingsFile((await readBoard(BOARD)) as never, conf) },
    { profile: "tls13", defines: FAST },
  );
  ends.push(() => device.powerOff());
  await gateway.until(() => gateway.statuses > 0).catch(() => assert.fail(device.lines.join("\n")));
  return { gateway, device, masters, keys };
}

function keyUnder(masters: ReturnType<typeof testMasters>, purpose: Purpose, identity: string): Buffer {
  const label = purpose === "psk" ? "psk13" : purpose;
  return deriveDeviceKey(masters[purpose], parseIdentity(identity), "kdf", label);
}

const keptIn = ({ machine }: TestDevice): Buffer => Buffer.from(keptPage(machine).subarray(0, KEPT));

test("R23 R30 a whole device keeps them in its first session; power fails in its factory reset: as before, or nothing of them and of the keys is left", async () => {
  const { gateway, device, keys } = await bootFleet();
  const { machine } = device;
  assert.ok(keptIn(device).equals(keptOf(keys.psk)));
  const secrets = [...secretsOfKey(keys.psk).values()];
  assert.equal(readableIn(machine, secrets), undefined);
  // without a server from here on
  gateway.cut();
  machine.clock.hold();
  machine.powerOff();
  const image = Buffer.from(machine.flash.bytes);
  let wiped = 0;
  // the mark, check values and keys of three places, and the first pages that are erased, theirs the very first
  for (let operation = 0; operation < 10; operation++)
    for (const byte of [0, 1, 40, KEPT]) {
      const place = `operation ${operation}, byte ${byte}`;
      await startWith(machine, image);
      assert.equal(await unlock(device, keys.console, ROLES.reset), 0);
      const { code } = await askObject(device, "factory");
      machine.cutPower({ operation, byte });
      machine.type(`factory ${code}\n`);
      await settled();
      await startWith(machine, Buffer.from(machine.flash.bytes));
      if (isPromptOpen(device)) {
        wiped++;
        assert.equal(readableIn(machine, [...keys.all, ...secrets, keptOf(keys.psk)]), undefined, place);
        assert.ok(
          keptPage(machine).every((each) => each === 0xff),
          place,
        );
      } else assert.ok(keptIn(device).equals(keptOf(keys.psk)), place);
    }
  assert.ok(wiped > 30, `${wiped}`);
});

test("R20 R30 new keys over the air: the first session under them keeps theirs, and the ones before are gone", async () => {
  const { gateway, device, masters, keys } = await bootFleet();
  const { code } = await bundleOf(BOARD, "firmware/main.ts", FAST, {}, "tls13");
  const fields = { product: "meter", board: BOARD, hardware: 1, version: "2", sequence: 6 } as const;
  const update = makeUpdate(Buffer.from(code, "latin1"), { ...fields, encoding: "none" });
  const rekeys = await testRekeys({ identities: [IDENTITY], update, masters, pskLabel: "psk13" });
  for (const [n, piece] of update.pieces.entries())
    await gateway.retain(`${piecesPrefix(update)}${n}`, piece);
  await gateway.retain("meter/SN1/ota", rekeys.manifest(0));
  const next = keyUnder(masters, "psk", "v2.meter.SN1");
  const isNext = () => keptIn(device).equals(keptOf(next));
  const before = gateway.statuses;
  await gateway
    .until(() => gateway.statuses > before && isNext())
    .catch(() => assert.fail(device.lines.join("\n")));
  const { flash } = device.machine;
  assert.equal(flash.bytes.indexOf(keptOf(keys.psk)), -1);
  const secrets = [keys.psk, next].flatMap((key) => [...secretsOfKey(key).values()]);
  assert.equal(readableIn(device.machine, secrets), undefined);
  // and those after it take what it kept
  const erases = flash.erases;
  const sessions = gateway.statuses;
  gateway.cut();
  await gateway.until(() => gateway.statuses > sessions);
  assert.ok(isNext());
  assert.equal(flash.erases, erases);
});
