// The gateway under TLS 1.3: devices of the profile tls13 and `openssl s_client` with psk_ke are let in by the key of the label psk13, and
// by no other; who offers both versions speaks TLS 1.2; the older schemes, with one key for each device, have no TLS 1.3.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { masterFromBytes } from "../custody/master";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey, kbkdf } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { TestDevice } from "../test/device";
import { sClient } from "../test/psk_client";
import { profileWith, SUITES_13 } from "../test/tls13/suites";
import { offersTls13Alone } from "./client_hello";
import { type Gateway, type GatewayEvent, startGateway } from "./gateway";

const master = randomKey();
const DEVICE = "v7.meter.SN1";
const identity = parseIdentity(DEVICE);
const psk = deriveDeviceKey(master, identity);
const psk13 = deriveDeviceKey(master, identity, "kdf", "psk13");
const TLS_1_3 = ["-tls1_3", "-allow_no_dhe_kex", "-ciphersuites", "TLS_AES_128_CCM_SHA256"];

test("R2 the key of TLS 1.3 is that of the label psk13", () => {
  assert.ok(psk13.equals(kbkdf(master, "psk13", DEVICE)) && !psk13.equals(psk));
  assert.throws(() => deriveDeviceKey(master, identity, "aes-serial", "psk13"), /wants one of its own/);
});

test("R18 a ClientHello that is cut anywhere, or says nothing of versions, does not offer TLS 1.3 alone", () => {
  const extensions = Buffer.from("002b0003020304", "hex");
  const body = Buffer.concat([
    Buffer.alloc(34),
    Buffer.from("00000213050100", "hex"),
    Buffer.from([0, extensions.length]),
    extensions,
  ]);
  const record = Buffer.concat([Buffer.alloc(9), body]);
  assert.ok(offersTls13Alone(record));
  for (let length = 0; length < record.length; length++)
    assert.ok(!offersTls13Alone(record.subarray(0, length)), `${length} bytes`);
  const both = Buffer.concat([
    record.subarray(0, -extensions.length - 1),
    Buffer.from("09002b00050403040303", "hex"),
  ]);
  assert.ok(!offersTls13Alone(both));
});

describe("the gateway under TLS 1.3", () => {
  let gateway: Gateway;
  let events: GatewayEvent[] = [];
  before(async () => {
    gateway = await startGateway({
      master: masterFromBytes(Buffer.from(master)),
      keyVersion: 7,
      revoked: ["v7.meter.SN666"],
      onEvent: (event) => events.push(event),
    });
  });
  after(() => gateway.close());

  test("R5 s_client is let in by the key of the label psk13", async () => {
    const { output } = await sClient(gateway, DEVICE, psk13, TLS_1_3);
    assert.match(output, /TLSv1\.3, Cipher is TLS_AES_128_CCM_SHA256/);
  });

  test("R2 no key is good for both versions", async () => {
    const under13 = await sClient(gateway, DEVICE, psk, TLS_1_3);
    assert.doesNotMatch(under13.output, /TLSv1\.3, Cipher is TLS_AES/);
    const under12 = await sClient(gateway, DEVICE, psk13, ["-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"]);
    assert.match(under12.output, /alert/);
  });

  test("R11 unknown, revoked and wrong look alike", async () => {
    const alerts = [];
    for (const [name, key] of [
      ["v7.meter.SN2", psk13],
      ["v7.meter.SN666", deriveDeviceKey(master, parseIdentity("v7.meter.SN666"), "kdf", "psk13")],
      [DEVICE, randomKey()],
    ] as const) {
      const { output } = await sClient(gateway, name, key, TLS_1_3);
      alerts.push(/SSL alert number (\d+)/.exec(output)?.[1]);
    }
    assert.ok(alerts[0] !== undefined);
    assert.deepEqual(alerts, [alerts[0], alerts[0], alerts[0]]);
  });

  for (const profile of new Set(SUITES_13.map(profileWith)))
    test(`R5 a device of the profile ${profile} speaks MQTT through the gateway`, async () => {
      events = [];
      const device = await TestDevice.boot("esp32-sim", {
        entry: "firmware/main.ts",
        profile,
        identity: DEVICE,
        key: psk13,
        port: gateway.port,
      });
      try {
        const connected = () => events.some((event) => event.kind === "connected");
        for (let i = 0; i < 600 && !connected(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
        assert.ok(connected(), device.lines.join("\n"));
      } finally {
        device.powerOff();
      }
    });
});

test("R2 a scheme with one key for each device has no TLS 1.3", async () => {
  const key = randomKey();
  const gateway = await startGateway({
    master: masterFromBytes(Buffer.from(key), "psk", "an10922"),
    keyVersion: 7,
    revoked: [],
  });
  try {
    const one = deriveDeviceKey(key, identity, "an10922");
    const { output } = await sClient(gateway, DEVICE, one, TLS_1_3);
    assert.doesNotMatch(output, /TLSv1\.3, Cipher is TLS_AES/);
    assert.match(
      (await sClient(gateway, DEVICE, one, ["-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"])).output,
      /Cipher is PSK-AES128-CCM8/,
    );
  } finally {
    await gateway.close();
  }
});
