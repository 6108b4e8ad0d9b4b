/*
 * Mosquitto between a device on the real interpreter and the operator's own tools, for engine tests: what the device tells, updates
 * and commands for it, and a way to wait.
 */
import assert from "node:assert/strict";
import { Broker } from "../ota/broker";
import { manifestTopic, piecesPrefix } from "../ota/manifest";
import type { Update } from "../ota/update_file";
import { IDENTITY } from "./device";
import type { Engine } from "./engine";
import * as mosquitto from "./peers/mosquitto";

const TLS_PSK_WITH_AES_128_CCM_8 = 0xc0a8;
const BASE = "sensor/0001";
/** The identity after the first change of keys. */
export const NEXT_VERSION = 2;
export const NEXT_IDENTITY = `v${NEXT_VERSION}.sensor.0001`;
/** Longest time of one update, milliseconds. */
const PATIENCE_MS = 60_000;

/** What a device tells, and a way to wait for it. */
export class Station {
  readonly told: { topic: string; text: string }[] = [];
  private waiting: (() => void)[] = [];

  private constructor(
    readonly broker: Broker,
    readonly port: number,
    private readonly peer: Awaited<ReturnType<typeof mosquitto.start>>,
  ) {}

  /** A broker that knows the device's key, and those of the version after it. */
  static async start(key: Buffer, next = key): Promise<Station> {
    const operator = { identity: "operator", key: Buffer.from("00112233445566778899aabbccddeefe", "hex") };
    const peer = await mosquitto.start({
      suite: TLS_PSK_WITH_AES_128_CCM_8,
      ...{ identity: IDENTITY, key, clients: [operator, { identity: NEXT_IDENTITY, key: next }] },
    });
    const broker = await Broker.connect({ host: "127.0.0.1", port: peer.port, psk: operator });
    const station = new Station(broker, peer.port, peer);
    await broker.listen([`${BASE}/up/#`], (topic, payload) => {
      station.told.push({ topic, text: payload.toString("latin1") });
      for (const wake of station.waiting.splice(0)) wake();
    });
    return station;
  }

  async offer(update: Update, manifest: Buffer): Promise<void> {
    const messages = update.pieces.map((payload, n) => ({ topic: `${piecesPrefix(update)}${n}`, payload }));
    await this.broker.publish([...messages, { topic: manifestTopic("sensor", "0001"), payload: manifest }]);
  }

  /** Send a command. */
  async command(name: string, payload: string): Promise<void> {
    await this.broker.publish([
      { topic: `${BASE}/down/${name}`, payload: Buffer.from(payload), retain: false },
    ]);
  }

  /** Wait for telemetry of an image with this sequence. */
  sequence(sequence: number, engine: Engine): Promise<void> {
    return this.until(() => this.told.some(({ text }) => text.includes(`"seq":${sequence},`)), engine);
  }

  /** Wait for what the device tells to be so. */
  async until(isThere: () => boolean, engine: Engine): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!isThere()) {
      const left = deadline - Date.now();
      assert.ok(left > 0, `${JSON.stringify(this.told.slice(-9))}\n${engine.lines.join("\n")}`);
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, Math.min(left, 500));
        this.waiting.push(() => {
          clearTimeout(timer);
          wake();
        });
      });
    }
  }

  async stop(): Promise<void> {
    await this.broker.close();
    await this.peer.stop();
  }
}
