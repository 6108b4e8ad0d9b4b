/*
 * A process of light devices, for rollouts of very many: no TLS and no pieces, and many devices behind each connection, as a
 * process may open some thousand sockets only. Each device tells its telemetry when it begins and then every so often, takes a
 * manifest after a while, and confirms it or comes back from it with a reason. One argument: LightOptions as JSON.
 */
import { connect } from "node:net";
import { generate, type Packet, parser } from "mqtt-packet";
import { NOT_CONFIRMED } from "../../../firmware/tls/alert";
import { sequenceOf } from "../ota/manifest";

export interface LightOptions {
  port: number;
  product: string;
  /** Numbers of the devices, from `first`, `count` of them. */
  first: number;
  count: number;
  perConnection: number;
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

interface LightDevice {
  number: number;
  sequence: number;
  boots: number;
  reverted: number;
  startedMs: number;
}

/** What they have run for when they begin, milliseconds. */
const RUNS_SINCE_MS = 1_000_000;

/** Run the devices of one connection; resolves when they are subscribed and have spoken. */
function startConnection(options: LightOptions, numbers: readonly number[]): Promise<void> {
  const { port, product, telemetryMs, takeMs, failing } = options;
  const devices = new Map<string, LightDevice>(
    numbers.map((number) => [
      lightSerial(number),
      {
        number,
        sequence: options.sequence,
        boots: 1,
        reverted: 0,
        startedMs: performance.now() - RUNS_SINCE_MS,
      },
    ]),
  );
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  const read = parser({ protocolVersion: 4 });
  const send = (packet: Packet) => socket.write(generate(packet));
  const say = (serial: string, name: string, line: object) =>
    send({
      ...{ cmd: "publish", topic: `${product}/${serial}/up/${name}`, qos: 0, dup: false, retain: false },
      payload: JSON.stringify(line),
    });
  const tell = (serial: string, { sequence, boots, reverted, startedMs }: LightDevice) => {
    const up = Math.floor((performance.now() - startedMs) / 1000);
    say(serial, "status", { up, err: 0, seq: sequence, rev: reverted, boots });
  };
  const take = (serial: string, device: LightDevice, sequence: number) => {
    say(serial, "update", { got: 0 });
    setTimeout(() => {
      const fails = lightFails(device.number, failing);
      device.boots += fails ? 5 : 1;
      device.startedMs = performance.now();
      if (fails) device.reverted = NOT_CONFIRMED;
      else device.sequence = sequence;
      tell(serial, device);
    }, takeMs * Math.random());
  };
  socket.on("data", (bytes) => read.parse(bytes));
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("connect", () =>
      send({
        ...{ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive: 0 },
        clientId: `light-${numbers[0]}`,
      }),
    );
    read.on("packet", (packet) => {
      if (packet.cmd === "connack")
        send({
          ...{ cmd: "subscribe", messageId: 1, dup: false, retain: false, qos: 1 },
          subscriptions: [...devices.keys()].map((serial) => ({ topic: `${product}/${serial}/ota`, qos: 1 })),
        });
      if (packet.cmd === "suback") {
        for (const [serial, device] of devices) {
          tell(serial, device);
          setTimeout(() => setInterval(tell, telemetryMs, serial, device), telemetryMs * Math.random());
        }
        resolve();
      }
      if (packet.cmd !== "publish") return;
      if (packet.qos) send({ cmd: "puback", messageId: packet.messageId });
      const [, serial] = packet.topic.split("/");
      const device = devices.get(serial);
      const sequence = sequenceOf(Buffer.from(packet.payload));
      if (device && sequence !== undefined && sequence > device.sequence && !device.reverted)
        take(serial, device, sequence);
    });
  });
}

if (process.argv[2]?.startsWith("{")) {
  const options = JSON.parse(process.argv[2]) as LightOptions;
  const end = options.first + options.count;
  for (let at = options.first; at < end; at += options.perConnection)
    await startConnection(
      options,
      Array.from({ length: Math.min(options.perConnection, end - at) }, (_, i) => at + i),
    );
  console.log("ready");
}
