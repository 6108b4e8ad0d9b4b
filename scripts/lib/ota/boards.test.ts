// Updates on simulated boards, end to end: bundle, loader, updater, manifests of the real signer, the gateway, a rollout.
// Rows 20, 21 and 28 of the requirements.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Board } from "../../../boards/board";
import { NOT_CONFIRMED } from "../../../firmware/tls/alert";
import type { Machine } from "../../../hal/simulator/machine";
import { readBoard } from "../bundle/build";
import { DeviceError } from "../cli/exit";
import { type DeviceKeys, masterFromBytes } from "../custody/master";
import { type Gateway, startGateway } from "../gateway/gateway";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, PURPOSES } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { deviceFromBench } from "../simulate/finished_device";
import { bundleOf } from "../test/device";
import { testManifests } from "../test/update";
import { Broker } from "./broker";
import { Fleet } from "./fleet";
import type { Encoding } from "./manifest";
import { runRollout } from "./rollout";
import { type Plan, RolloutState } from "./rollout_state";
import { makeUpdate, type Update } from "./update_file";
import { wireCost } from "./wire_cost";

const NAME = "esp32-sim";
/** A manifest, four lines of telemetry, a handshake, what a session begins with; with room for one more piece. */
const MORE_BYTES = 1700;
const SERIALS = ["SN1", "SN2", "SN3"];
const folder = mkdtempSync(join(tmpdir(), "boards-"));
after(() => rmSync(folder, { recursive: true }));

describe("a rollout over boards", { timeout: 1_000_000 }, () => {
  const masters = Object.fromEntries(PURPOSES.map((purpose) => [purpose, randomKey()])) as DeviceKeys;
  let board: Board;
  let gateway: Gateway;
  let operator: Broker;
  let onlooker: Broker;
  let fleet: Fleet;
  const machines = new Map<string, Machine>();
  const wire = new Map<string, number>();

  const updateOf = (code: string, sequence: number, encoding: Encoding = "none"): Update =>
    makeUpdate(Buffer.from(code, "latin1"), {
      ...{ product: "meter", version: `1.${sequence}`, sequence, encoding },
      ...{ board: NAME, hardware: 2 ** board.hardware },
    });

  before(async () => {
    board = (await readBoard(NAME)) as unknown as Board;
    gateway = await startGateway({ master: masterFromBytes(masters.psk), operatorPort: 0 });
    operator = await Broker.connect({ host: "127.0.0.1", port: gateway.operatorPort as number });
    fleet = new Fleet("meter");
    // a connection of its own: a rollout's end takes its subscriptions away
    onlooker = await Broker.connect({ host: "127.0.0.1", port: gateway.operatorPort as number });
    await fleet.listen(onlooker);
    const first = updateOf((await bundleOf(NAME, "firmware/main.ts")).code, 1);
    for (const serial of SERIALS) {
      const identity = parseIdentity(`v1.meter.${serial}`);
      const keys = Object.fromEntries(
        PURPOSES.map((purpose) => [purpose, deriveDeviceKey(masters[purpose], identity, "kdf", purpose)]),
      ) as DeviceKeys;
      const server = { host: gateway.host, port: gateway.port };
      const onWire = (_direction: "in" | "out", bytes: Buffer) =>
        wire.set(serial, (wire.get(serial) ?? 0) + bytes.length);
      const machine = await deviceFromBench(board, first, { identity, keys, server }, { onWire });
      machines.set(serial, machine);
      machine.boot();
    }
    await until(() => SERIALS.every((serial) => fleet.devices.get(serial)?.sequence === 1), 20_000);
  });
  after(async () => {
    for (const machine of machines.values()) machine.powerOff();
    await onlooker.close();
    await operator.close();
    await gateway.close();
  });

  async function rollout(update: Update, rings: string[][]): Promise<RolloutState> {
    const manifests = testManifests(update, rings.flat(), masters.ota);
    const plan: Plan = {
      ...{ product: "meter", sequence: update.sequence, version: update.version, stopAt: 0, waitMinutes: 1 },
      ...{ digest: Buffer.from(update.digest).toString("hex"), rings },
    };
    const state = RolloutState.create(join(folder, `state-${update.sequence}`), plan);
    after(() => state.close());
    await runRollout({ broker: operator, update, manifests, state, perSecond: 100 });
    return state;
  }

  test("R20 R21 each ring takes the image, restarts and confirms, and then the next", async () => {
    const { code } = await bundleOf(NAME, "firmware/main.ts", { KEEP_ALIVE_S: 110 });
    const update = updateOf(code, 2, "heatshrink");
    const before = new Map(wire);
    const state = await rollout(update, [["SN1"], ["SN2", "SN3"]]);
    assert.ok(state.done);
    const { up, down } = wireCost(update, 1);
    assert.ok(up + down <= 1.15 * update.length, `${up + down} bytes of TLS for ${update.length} of image`);
    for (const serial of SERIALS) {
      const { sequence, reverted } = fleet.devices.get(serial) ?? {};
      assert.deepEqual({ sequence, reverted }, { sequence: 2, reverted: 0 }, serial);
      // and the manifest, what it tells of its progress, and the session of the new image
      const more = (wire.get(serial) ?? 0) - (before.get(serial) ?? 0) - (up + down);
      assert.ok(more > 0 && more < MORE_BYTES, `${serial}: ${more} bytes of TLS beside the pieces`);
    }
  });

  /** Have the sessions last a keep-alive, which confirms the image: ticks of the boards' time, the broker's answers between. */
  async function last(): Promise<void> {
    for (const [serial, machine] of machines)
      for (let tick = 0; tick < 4; tick++) {
        const heard = fleet.devices.get(serial)?.heardMs;
        await machine.later(60_000);
        await until(() => fleet.devices.get(serial)?.heardMs !== heard, 20_000);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
  }

  test("R28 an image that never calls home goes back by itself, and stops the rollout at its first ring", async () => {
    await last();
    const update = updateOf('print("I never call home")', 3);
    // the plug is pulled until the loader has had enough of it
    const plug = setInterval(() => machines.get("SN1")?.boot(), 1500);
    await assert.rejects(
      rollout(update, [["SN1"], ["SN2", "SN3"]]).finally(() => clearInterval(plug)),
      (error) => error instanceof DeviceError && error.message.includes(`E${NOT_CONFIRMED}`),
    );
    await until(() => fleet.devices.get("SN1")?.reverted === NOT_CONFIRMED, 20_000);
    for (const serial of SERIALS) assert.equal(fleet.devices.get(serial)?.sequence, 2, serial);
  });
});

async function until(condition: () => boolean, timeoutMs: number): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    assert.ok(Date.now() < end, `not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
