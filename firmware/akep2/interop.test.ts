/*
 * The built bundle of the profile akep2 on the simulated boards against the EAP-PSK of hostapd, which nobody here wrote: the four messages
 * through RADIUS, then records with the MSK that hostapd hands out; and keys and identities that do not fit.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IDENTITY, KEY, SIMULATED_BOARDS, TestDevice } from "../../scripts/lib/test/device";
import * as hostapd from "../../scripts/lib/test/peers/hostapd";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import { HANDSHAKE_FAILURE, RECEIVED } from "../tls/alert";

const skip = skipWithout("hostapd");
/** Bytes of application data: one, one record, one and a byte, many. */
const PAYLOADS = [1, 512, 513, 5_000];

for (const board of SIMULATED_BOARDS)
  test(`R5 ${board} shakes hands with hostapd's EAP-PSK, and both have the same MSK`, { skip }, async () => {
    const peer = await hostapd.start({ identity: IDENTITY, key: KEY });
    const device = await TestDevice.boot(board, { profile: "akep2" });
    try {
      const socket = device.connect(peer.port);
      await socket.until(() => socket.connected || socket.closed);
      assert.ok(socket.connected, `error ${socket.error}\n${peer.output()}`);
      for (const length of PAYLOADS) {
        const sent = Buffer.alloc(length, "the quick brown fox jumps over the lazy dog, ");
        socket.received = Buffer.alloc(0);
        socket.write(sent);
        await socket.until(() => socket.received.length >= length || socket.closed);
        assert.ok(sent.equals(socket.received), `${length} bytes: error ${socket.error}\n${peer.output()}`);
      }
      socket.end();
      assert.ok(await socket.until(() => socket.closed));
      assert.equal(socket.error, 0);
      assert.match(peer.output(), /EAP-Success|CTRL-EVENT-EAP-SUCCESS|EAP: EAP entering state SUCCESS/);
    } finally {
      device.powerOff();
      await peer.stop();
    }
  });

test("R11 hostapd refuses a wrong key and an unknown identity", { skip }, async () => {
  const device = await TestDevice.boot("esp32-sim", { profile: "akep2" });
  try {
    for (const { identity, key } of [
      { identity: IDENTITY, key: Buffer.alloc(16, 0x33) },
      { identity: "v1.sensor.9999", key: KEY },
    ]) {
      const peer = await hostapd.start({ identity, key });
      try {
        const socket = device.connect(peer.port);
        await socket.until(() => socket.connected || socket.closed);
        assert.equal(socket.error, RECEIVED + HANDSHAKE_FAILURE, peer.output());
      } finally {
        await peer.stop();
      }
    }
  } finally {
    device.powerOff();
  }
});
