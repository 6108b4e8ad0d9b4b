/*
 * The built bundles of the profiles esp and esp-cbc against peers that nobody here wrote: scapy opens all that a device sends, and what it makes the device
 * takes; tshark opens the capture of both ways with the manual keys, and names every field. And what the experts warned of: with the key of a device
 * all that was ever captured is read, which under the profile epochs it is not.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { childOf, leafOf, TREE_LEVELS } from "../../scripts/lib/keys/epoch_tree";
import { associationsOf, TRANSFORM_NAMES, type Transform } from "../../scripts/lib/keys/esp_keys";
import { TestDevice } from "../../scripts/lib/test/device";
import { EspPeer } from "../../scripts/lib/test/esp/peer";
import { recordOf } from "../../scripts/lib/test/factory";
import { skipWithout, skipWithoutScapy } from "../../scripts/lib/test/peers/install";
import { Scapy } from "../../scripts/lib/test/peers/scapy";
import { type Captured, capture, fieldsOf } from "../../scripts/lib/test/peers/tshark";
import { startScriptedServer } from "../../scripts/lib/test/scripted_server";
import { SERVER_ADDRESS, TUNNEL_PORT } from "../../scripts/lib/tunnel/ipv4";
import { framed } from "../../scripts/lib/tunnel/stream";
import { ESP_ICV } from "../tls/alert";

const PROFILE_OF: Record<Transform, string> = { ccm: "esp", cbc: "esp-cbc" };
/** Of the packets around the tunnel, for captures. */
const [DEVICE, SERVER] = ["192.0.2.10", "192.0.2.1"];

const ends: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const end of ends) await end();
});

async function meet(transform: Transform, answers = true) {
  const psk = randomBytes(16);
  const peer = await EspPeer.start(psk, transform);
  peer.answers = answers;
  const record = recordOf([psk, ...[1, 2, 3].map(() => randomBytes(16))]).record;
  const device = await TestDevice.boot("esp32-sim", {
    ...{ profile: PROFILE_OF[transform], entry: "firmware/main.ts", key: record, port: peer.port },
    defines: { RECONNECT_FIRST_MS: 1, RECONNECT_DOUBLINGS: 0 },
    onLine: () => peer.wake(),
  });
  ends.push(
    () => device.powerOff(),
    () => peer.stop(),
  );
  return { psk, peer, device };
}

for (const transform of TRANSFORM_NAMES) {
  test(`R5 ${PROFILE_OF[transform]}: scapy opens all that the device sends, and the device all that scapy makes`, {
    skip: skipWithoutScapy(),
  }, async () => {
    const { peer, device } = await meet(transform, false);
    const scapy = new Scapy();
    ends.push(() => scapy.stop());
    const { up, down, address } = peer.associations;
    const say = async (datagram: string) => {
      const inner = {
        src: SERVER_ADDRESS,
        dst: address,
        port: TUNNEL_PORT,
        datagram: Buffer.from(datagram, "latin1"),
      };
      const packet = await scapy.seal(down, peer.next(), inner);
      peer.last.socket.write(framed(packet));
      return packet;
    };
    await peer.until(() => peer.datagrams("ping").length === 1);
    await say("pong");
    await peer.until(() => peer.datagrams("up/status").length === 1);
    for (const [nth, length] of [0, 1, 7, 16, 200, 505].entries()) {
      const payload = randomBytes(length).toString("latin1");
      await say(`down/x ${payload}`);
      await peer.until(() => peer.datagrams("up/x ").length === nth + 1);
      assert.equal(peer.datagrams("up/x ")[nth], `up/x ${payload}`);
    }
    for (const { bytes, sequence, datagram } of peer.packets) {
      const { datagram: opened, ...rest } = await scapy.open(up, bytes);
      assert.equal(opened.toString("latin1"), datagram);
      assert.deepEqual(rest, {
        ...{ sequence, src: address, dst: SERVER_ADDRESS, sport: TUNNEL_PORT, dport: TUNNEL_PORT },
        ...{ isSummed: true, length: 28 + datagram.length },
      });
      const altered = Buffer.from(bytes);
      altered[30] ^= 1;
      await assert.rejects(scapy.open(up, altered), /IPSecIntegrityError/);
    }
    // of scapy's packet a bit is another
    const packet = await scapy.seal(down, peer.next(), {
      ...{ src: SERVER_ADDRESS, dst: address, port: TUNNEL_PORT, datagram: Buffer.from("down/x y") },
    });
    packet[30] ^= 1;
    peer.last.socket.write(framed(packet));
    await peer.until(() => device.lines.includes(`E${ESP_ICV}`));
    assert.equal(peer.datagrams("up/x ").length, 6);
  });

  test(`${PROFILE_OF[transform]}: with the manual keys tshark reads last year's capture, field by field, and without them nothing`, {
    skip: skipWithout("tshark"),
  }, async () => {
    const { psk, peer } = await meet(transform);
    const captured: Captured[] = [];
    await peer.until(() => peer.datagrams("up/status").length === 1);
    const command = peer.packet("down/x open the valve");
    peer.last.socket.write(framed(command));
    await peer.until(() => peer.datagrams("up/x ").length === 1);
    for (const { bytes } of peer.packets) captured.push({ from: DEVICE, to: SERVER, packet: bytes });
    captured.push({ from: SERVER, to: DEVICE, packet: command });
    const pcap = capture(captured);
    const fields = [
      ...["esp.spi", "esp.sequence", "esp.pad_len", "esp.protocol", "esp.icv_good", "ip.src", "ip.dst"],
      ...["udp.srcport", "udp.dstport", "udp.length", "data.data", "_ws.malformed"],
    ];
    // a year later somebody opens the device: its key is still the one of then
    const { up, down, address } = associationsOf(psk, transform);
    const read = await fieldsOf(pcap, fields, [up, down]);
    assert.equal(read.length, captured.length);
    for (const [nth, { packet, from, to }] of captured.entries()) {
      const isUp = from === DEVICE;
      const datagram = isUp ? peer.packets[nth].datagram : "down/x open the valve";
      const row = read[nth];
      assert.equal(Buffer.from(row["data.data"], "hex").toString("latin1"), datagram);
      assert.deepEqual(
        {
          spi: Number(row["esp.spi"]) >>> 0,
          sequence: Number(row["esp.sequence"]),
          next: row["esp.protocol"],
          icv: row["esp.icv_good"],
          src: row["ip.src"],
          dst: row["ip.dst"],
          ports: [row["udp.srcport"], row["udp.dstport"]],
          padding: Number(row["esp.pad_len"]),
          length: Number(row["udp.length"]),
          malformed: row["_ws.malformed"],
        },
        {
          spi: (isUp ? up : down).spi,
          sequence: packet.readUInt32BE(4),
          next: "0x04",
          // what it takes CCM for has no ICV that it could check
          icv: transform === "cbc" ? "1" : "0",
          src: `${from},${isUp ? address : SERVER_ADDRESS}`,
          dst: `${to},${isUp ? SERVER_ADDRESS : address}`,
          ports: [`${TUNNEL_PORT}`, `${TUNNEL_PORT}`],
          padding: -(30 + datagram.length) & (transform === "cbc" ? 15 : 3),
          length: 8 + datagram.length,
          malformed: "",
        },
      );
    }
    const [stranger] = [associationsOf(randomBytes(16), transform)];
    for (const keys of [
      [],
      [
        { ...stranger.up, spi: up.spi },
        { ...stranger.down, spi: down.spi },
      ],
    ])
      for (const row of await fieldsOf(pcap, fields, keys))
        assert.ok(!Buffer.from(row["data.data"], "hex").includes("up/status") && row["esp.icv_good"] !== "1");
  });
}

test("R38 what is left in flash after a session: under esp the key of all of them, under epochs nothing that leads to the key of that one", async () => {
  const { psk, device } = await meet("ccm");
  assert.ok(device.machine.flash.bytes.includes(psk));

  const root = randomBytes(16);
  const [identity, epoch] = ["v1.sensor.0001", 0];
  const server = await startScriptedServer({
    key: (said) => (said.toString() === `${identity}.e${epoch}` ? leafOf(root, epoch) : undefined),
    suites: [0xc0a8],
  });
  const other = await TestDevice.boot("esp32-sim", {
    profile: "epochs",
    // the record first, as a bench lays it
    machine: {
      files: {
        key: recordOf([root, ...[1, 2, 3].map(() => randomBytes(16))]).record.toString("latin1"),
        conf: JSON.stringify({ id: identity, host: "127.0.0.1", port: server.port }),
      },
    },
  });
  ends.push(
    () => other.powerOff(),
    () => server.stop(),
  );
  const { flash } = other.machine;
  assert.ok(flash.bytes.includes(root), "before");
  const socket = other.connect(server.port);
  await socket.until(() => socket.connected || socket.closed);
  assert.ok(socket.connected, `error ${socket.error}`);
  let node: Buffer = root;
  for (let level = 0; level <= TREE_LEVELS; level++) {
    assert.ok(!flash.bytes.includes(node), `level ${level}`);
    node = childOf(node, 0);
  }
});
