/*
 * A process of light devices, for rollouts of very many: each has its connection by TLS-PSK and its key, and takes no pieces. Each tells
 * its telemetry when it begins and then every so often, takes a manifest after a while, and confirms it or comes back from it with
 * a reason. One argument: LightOptions as JSON.
 */
import { connect as connectTcp } from "node:net";
import { connect, createSecureContext } from "node:tls";
import { generate, type Packet, parser } from "mqtt-packet";
import { NOT_CONFIRMED } from "../../../firmware/tls/alert";
import { clientIdOf, parseIdentity, topicPrefix } from "../keys/identity";
import { aesKey, deriveDeviceKey } from "../keys/kdf";
import { sequenceOf } from "../ota/manifest";

export interface LightOptions {
  port: number;
  product: string;
  /** Numbers of the devices, from `first`, `count` of them. */
  first: number;
  count: number;
  /** The `psk` master that their keys are of, as hex digits. */
  master: string;
  /** The sequence that they run. */
  sequence: number;
  /** Of a hundred, so many fail. */
  failing: number;
  telemetryMs: number;
  /** Longest time from a manifest to what becomes of it. */
  takeMs: number;
}

/** The serial of a device, and whether it is one of those that fail. */
export const lightSerial = (number: number) => `L${String(number).padStart(7, "0")}`;
export const lightFails = (number: number, failing: number) => (number * 37) % 100 < failing;

/** What they have run for when they begin, milliseconds. */
const RUNS_SINCE_MS = 1_000_000;
/** Seconds. Telemetry comes oftener, and stands for a ping. */
const KEEP_ALIVE_S = 1200;
/** As many shake hands at once. */
const AT_ONCE = 50;
/** One address has ports for so many. */
const AN_ADDRESS = 20_000;

const secureContext = createSecureContext({
  ciphers: "PSK-AES128-CCM8:@SECLEVEL=0",
  maxVersion: "TLSv1.2",
});

/** Run a device; resolves when it is subscribed and has spoken. */
function startDevice(options: LightOptions, number: number): Promise<void> {
  const { port, product, telemetryMs, takeMs, failing } = options;
  const identity = parseIdentity(`v1.${product}.${lightSerial(number)}`);
  const psk = deriveDeviceKey(aesKey(Buffer.from(options.master, "hex")), identity);
  const prefix = topicPrefix(identity);
  let { sequence } = options;
  let boots = 1;
  let reverted = 0;
  let startedMs = performance.now() - RUNS_SINCE_MS;

  const localAddress = `127.0.1.${1 + Math.floor(number / AN_ADDRESS)}`;
  const socket = connect({
    ...{ socket: connectTcp({ host: "127.0.0.1", port, localAddress, noDelay: true }), secureContext },
    pskCallback: () => ({ psk, identity: identity.text }),
    checkServerIdentity: () => undefined,
  });
  const read = parser({ protocolVersion: 4 });
  const send = (packet: Packet) => socket.write(generate(packet));
  const say = (name: string, line: object) =>
    send({
      ...{ cmd: "publish", topic: `${prefix}up/${name}`, qos: 0, dup: false, retain: false },
      payload: JSON.stringify(line),
    });
  const tell = () => {
    const up = Math.floor((performance.now() - startedMs) / 1000);
    say("status", { up, err: 0, seq: sequence, rev: reverted, boots });
  };
  const take = (offered: number) => {
    say("update", { got: 0 });
    setTimeout(() => {
      const fails = lightFails(number, failing);
      boots += fails ? 5 : 1;
      startedMs = performance.now();
      if (fails) reverted = NOT_CONFIRMED;
      else sequence = offered;
      tell();
    }, takeMs * Math.random());
  };
  socket.on("data", (bytes) => read.parse(bytes));
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${identity.text} was cut off`)));
    socket.on("secureConnect", () =>
      send({
        ...{ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: KEEP_ALIVE_S },
        clientId: clientIdOf(identity),
      }),
    );
    read.on("packet", (packet) => {
      if (packet.cmd === "connack")
        send({
          ...{ cmd: "subscribe", messageId: 1, dup: false, retain: false, qos: 1 },
          subscriptions: [{ topic: `${prefix}ota`, qos: 1 }],
        });
      if (packet.cmd === "suback") {
        tell();
        setTimeout(() => setInterval(tell, telemetryMs), telemetryMs * Math.random());
        resolve();
      }
      if (packet.cmd !== "publish") return;
      if (packet.qos) send({ cmd: "puback", messageId: packet.messageId });
      const offered = sequenceOf(Buffer.from(packet.payload));
      if (offered !== undefined && offered > sequence && !reverted) take(offered);
    });
  });
}

if (process.argv[2]?.startsWith("{")) {
  const options = JSON.parse(process.argv[2]) as LightOptions;
  let next = options.first;
  const end = next + options.count;
  const startSome = async () => {
    while (next < end) await startDevice(options, next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, startSome));
  console.log("ready");
}
