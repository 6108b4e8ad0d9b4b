/*
 * hostapd's own EAP-PSK (RFC 4764) as a peer of AKEP2 devices: its RADIUS server without a radio (driver=none), and before it a TCP port of
 * ours that carries the four messages, each with its length before it, in RADIUS (RFC 2865, RFC 3579) and back. EAP's identity exchange
 * and its Success, which our transport has not, stay here. Then the records are spoken with the MSK that hostapd hands out (RFC 2548,
 * 2.4.2 and 2.4.3), and what comes is sent back.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { framed, Records } from "../akep2/server";
import { freePort, type Peer, runProgram, WorkFolder, waitUntilReady } from "./process";

export const SERVER_NAME = "hostapd.example";
const SECRET = "radius-secret";
/** Codes of RADIUS packets. */
const ACCESS_REQUEST = 1;
const ACCESS_ACCEPT = 2;
/** Attributes. */
const USER_NAME = 1;
const STATE = 24;
const VENDOR_SPECIFIC = 26;
const NAS_IDENTIFIER = 32;
const EAP_MESSAGE = 79;
const MESSAGE_AUTHENTICATOR = 80;
/** Types of Microsoft's attributes (vendor 311). */
const MS_MPPE_SEND_KEY = 16;
const MS_MPPE_RECV_KEY = 17;

type Attribute = [type: number, value: Buffer];

function parts(type: number, value: Buffer): Attribute[] {
  const list: Attribute[] = [];
  for (let at = 0; at < value.length; at += 253) list.push([type, value.subarray(at, at + 253)]);
  return list;
}

/** An Access-Request with its Message-Authenticator (RFC 3579, 3.2). */
function request(identifier: number, authenticator: Buffer, attributes: Attribute[]): Buffer {
  const list: Attribute[] = [...attributes, [MESSAGE_AUTHENTICATOR, Buffer.alloc(16)]];
  const body = Buffer.concat(
    list.map(([type, value]) => Buffer.concat([Buffer.from([type, value.length + 2]), value])),
  );
  const head = Buffer.from([ACCESS_REQUEST, identifier, 0, 0]);
  head.writeUInt16BE(20 + body.length, 2);
  const packet = Buffer.concat([head, authenticator, body]);
  createHmac("md5", SECRET)
    .update(packet)
    .digest()
    .copy(packet, packet.length - 16);
  return packet;
}

function attributesOf(packet: Buffer): Attribute[] {
  const list: Attribute[] = [];
  for (let at = 20; at < packet.length; at += packet[at + 1])
    list.push([packet[at], packet.subarray(at + 2, at + packet[at + 1])]);
  return list;
}

const joined = (list: Attribute[], wanted: number) =>
  Buffer.concat(list.filter(([type]) => type === wanted).map(([, value]) => value));

/** One of the two keys of 32 bytes that the MSK is handed out as (RFC 2548, 2.4.2). */
function mppeKey(list: Attribute[], wanted: number, authenticator: Buffer): Buffer {
  const found = list.find(
    ([type, value]) => type === VENDOR_SPECIFIC && value.readUInt32BE(0) === 311 && value[4] === wanted,
  );
  if (!found) throw new Error(`hostapd hands out no key ${wanted}`);
  const salt = found[1].subarray(6, 8);
  const sealed = found[1].subarray(8);
  let before = Buffer.concat([authenticator, salt]);
  const text = Buffer.alloc(sealed.length);
  for (let at = 0; at < sealed.length; at += 16) {
    const pad = createHash("md5").update(SECRET).update(before).digest();
    for (let i = 0; i < 16; i++) text[at + i] = sealed[at + i] ^ pad[i];
    before = Buffer.from(sealed.subarray(at, at + 16));
  }
  return text.subarray(1, 1 + text[0]);
}

/** Carry the messages of one device. */
function carry(device: Socket, radius: UdpSocket, port: number, name: Buffer): void {
  let authenticator = randomBytes(16);
  let state: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let identifier = 0;
  let pending: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let records: Records | undefined;

  function ask(packet: Buffer): void {
    authenticator = randomBytes(16);
    const attributes: Attribute[] = [
      [USER_NAME, name],
      [NAS_IDENTIFIER, Buffer.from("tcp")],
      ...parts(EAP_MESSAGE, packet),
    ];
    if (state.length) attributes.push([STATE, state]);
    radius.send(request(++identifier, authenticator, attributes), port, "127.0.0.1");
  }

  function echo(bytes: Buffer, to: Records): void {
    for (const { type, text } of to.receive(bytes))
      if (type === 23) device.write(to.seal(23, text));
      else device.end();
  }

  radius.on("message", (packet) => {
    const list = attributesOf(packet);
    const eap = joined(list, EAP_MESSAGE);
    state = joined(list, STATE);
    if (packet[0] === ACCESS_ACCEPT) {
      const msk = [MS_MPPE_RECV_KEY, MS_MPPE_SEND_KEY].map((key) => mppeKey(list, key, authenticator));
      records = new Records(Buffer.concat(msk));
      echo(pending, records);
    } else if (eap[0] === 4) device.end(framed(eap));
    else device.write(framed(eap));
  });
  device.on("error", () => {});
  device.on("close", () => radius.close());
  device.on("data", (bytes) => {
    if (records) return echo(bytes, records);
    pending = Buffer.concat([pending, bytes]);
    // message 4 is the last: what follows are records
    while (pending.length >= 2 && pending[0] === 0 && pending.length >= 2 + pending[1]) {
      ask(pending.subarray(2, 2 + pending[1]));
      pending = pending.subarray(2 + pending[1]);
    }
  });
  ask(Buffer.concat([Buffer.from([2, 0, 0, 5 + name.length, 1]), name]));
}

/** Start hostapd and the port before it; it takes `key` for the device `identity`. */
export async function start({ identity, key }: { identity: string; key: Buffer }): Promise<Peer> {
  const folder = new WorkFolder();
  const radiusPort = await freePort();
  const users = folder.file("users", `"${identity}" PSK ${key.toString("hex")}\n`);
  const clients = folder.file("clients", `127.0.0.1/32 ${SECRET}\n`);
  const config = folder.file(
    "hostapd.conf",
    `driver=none
interface=as
eap_server=1
eap_user_file=${users}
server_id=${SERVER_NAME}
radius_server_clients=${clients}
radius_server_auth_port=${radiusPort}
`,
  );
  const program = runProgram({ command: "hostapd", args: ["-dd", config], folder });
  await waitUntilReady(program, "hostapd", () => program.output().includes("AP-ENABLED"));
  const devices = new Set<Socket>();
  const server = createServer({ noDelay: true }, (device) => {
    devices.add(device);
    carry(device, createSocket("udp4"), radiusPort, Buffer.from(identity));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    output: () => program.output(),
    async stop() {
      for (const device of devices) device.destroy();
      await new Promise((resolve) => server.close(resolve));
      await program.stop();
    },
  };
}
