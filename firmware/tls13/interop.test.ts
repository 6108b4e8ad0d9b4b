/*
 * The built bundle of the profiles of TLS 1.3 on the simulated boards against real servers on 127.0.0.1 that speak nothing else: each
 * suite, payloads around the fragment limit both ways, keys that do not fit, servers as they come, servers of TLS 1.2; and the whole
 * firmware's MQTT through Mosquitto by the openssl.cnf that the project ships.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { IDENTITY, KEY, powerOffShared, sharedDevice, TestDevice } from "../../scripts/lib/test/device";
import { assertEchoes } from "../../scripts/lib/test/echo";
import * as gnutlsServ from "../../scripts/lib/test/peers/gnutls_serv";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as mosquitto from "../../scripts/lib/test/peers/mosquitto";
import * as nodeTls from "../../scripts/lib/test/peers/node_tls";
import * as openssl from "../../scripts/lib/test/peers/openssl_s_server";
import type { Peer, PeerOptions } from "../../scripts/lib/test/peers/process";
import { profileWith, SUITES_13 } from "../../scripts/lib/test/tls13/suites";
import { RECEIVED, TRUNCATED, WANTS_KEY_SHARE } from "../tls/alert";

interface Server {
  name: string;
  start(options: PeerOptions): Promise<Peer>;
  /** What a server as it comes says to psk_ke. */
  says: number[];
  skip: string | false;
  /** GnuTLS answers when a line feed came; Mosquitto is no echo. */
  echoes: boolean;
  /** It takes its key for every identity. */
  ignoresIdentity?: boolean;
}

const withoutGnutls = skipWithout("gnutls-serv", "unshare", "ip") || gnutlsServ.skipWithoutNamespace();
const MISSING_EXTENSION = RECEIVED + 109;

// biome-ignore format: a table
const SERVERS: Server[] = [
  { name: "OpenSSL", ...openssl, says: [MISSING_EXTENSION], skip: skipWithout("openssl"), echoes: true, ignoresIdentity: true },
  { name: "GnuTLS", ...gnutlsServ, says: [0], skip: withoutGnutls, echoes: true },
  { name: "Node", ...nodeTls, says: [], skip: false, echoes: true },
  { name: "Mosquitto", ...mosquitto, says: [MISSING_EXTENSION], skip: skipWithout("mosquitto"), echoes: false },
];

after(powerOffShared);

for (const board of ["esp32-sim", "esp32-idf4-sim", "mdbt42q-w5500-sim"])
  for (const server of SERVERS)
    for (const suite of SUITES_13)
      test(`R5 ${board} talks TLS 1.3 to ${server.name} with ${suite.name}`, {
        skip: server.skip,
      }, async () => {
        const peer = await server.start({ suite: suite.code, tls13: true, identity: IDENTITY, key: KEY });
        try {
          const device = await sharedDevice(board, { profile: profileWith(suite) });
          const socket = device.connect(peer.port);
          await socket.until(() => socket.connected || socket.closed);
          assert.ok(socket.connected, `error ${socket.error}\n${peer.output()}`);
          if (server.echoes) await assertEchoes(socket, peer);
          socket.end();
          assert.ok(await socket.until(() => socket.closed));
          assert.equal(socket.error, 0);
        } finally {
          await peer.stop();
        }
      });

/** What servers say to a key or an identity that does not fit: one of these, and the device makes no more of it. */
const REFUSALS = [20, 40, 47, 51, 109, 115, 116].map((alert) => RECEIVED + alert);

for (const server of SERVERS)
  test(`R11 ${server.name} under TLS 1.3 refuses a wrong key and an unknown identity`, {
    skip: server.skip,
  }, async () => {
    const device = await sharedDevice("esp32-sim", { profile: "tls13" });
    for (const { identity, key } of [
      { identity: IDENTITY, key: Buffer.alloc(16, 0x33) },
      { identity: "v1.sensor.9999", key: KEY },
    ]) {
      if (identity !== IDENTITY && server.ignoresIdentity) continue;
      const peer = await server.start({ identity, key, tls13: true });
      try {
        const socket = device.connect(peer.port);
        await socket.until(() => socket.closed || socket.connected);
        assert.ok(!socket.connected);
        assert.ok(
          [...REFUSALS, TRUNCATED, WANTS_KEY_SHARE].includes(socket.error),
          `error ${socket.error}\n${peer.output()}`,
        );
      } finally {
        await peer.stop();
      }
    }
  });

for (const server of SERVERS.filter(({ says }) => says.length > 0))
  test(`R5 a device of TLS 1.3 meets ${server.name} as it comes`, { skip: server.skip }, async () => {
    const peer = await server.start({ identity: IDENTITY, key: KEY, tls13: "as it comes" });
    try {
      const device = await sharedDevice("esp32-sim", { profile: "tls13-gcm" });
      const socket = device.connect(peer.port);
      await socket.until(() => socket.closed || socket.connected);
      assert.ok(server.says.includes(socket.error), `error ${socket.error}\n${peer.output()}`);
      socket.end();
    } finally {
      await peer.stop();
    }
  });

for (const server of SERVERS)
  test(`R4 a device of TLS 1.3 takes no TLS 1.2 from ${server.name}`, { skip: server.skip }, async () => {
    const peer = await server.start({ identity: IDENTITY, key: KEY, suite: 0xc0a8 });
    try {
      const device = await sharedDevice("esp32-sim", { profile: "tls13" });
      const socket = device.connect(peer.port);
      await socket.until(() => socket.closed || socket.connected);
      assert.ok(!socket.connected && socket.error > RECEIVED, `error ${socket.error}\n${peer.output()}`);
    } finally {
      await peer.stop();
    }
  });

for (const profile of ["tls13", "tls13-gcm"])
  test(`the whole firmware of the profile ${profile} talks MQTT through Mosquitto`, {
    skip: skipWithout("mosquitto"),
  }, async () => {
    const broker = await mosquitto.start({ identity: IDENTITY, key: KEY, tls13: true });
    const device = await TestDevice.boot("esp32-sim", {
      entry: "firmware/main.ts",
      profile,
      port: broker.port,
    });
    try {
      assert.ok(
        await device
          .until(() => /PUBLISH from sensor-0001 .*up\/status/.test(broker.output()), 20_000)
          .catch(() => false),
        `${device.lines.join("\n")}\n${broker.output()}`,
      );
    } finally {
      device.powerOff();
      await broker.stop();
    }
  });
