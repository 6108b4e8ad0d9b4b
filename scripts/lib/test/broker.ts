/*
 * A broker in front of one simulated board that runs update_app.ts, for tests: what the board puts out is read as MQTT and
 * answered at once; retained messages come with the subscription to their topic. No network, no TLS, no clock.
 */
import { setImmediate as turn } from "node:timers/promises";
import { generate, type Packet, parser } from "mqtt-packet";
import type { Machine } from "../../../hal/simulator/machine";

export class TestBroker {
  /** Topic and payload of what is retained. */
  readonly retained = new Map<string, Buffer>();
  /** What the board has published, "topic payload". */
  published: string[] = [];
  /** Topics that it has subscribed to since it connected. */
  subscribed: string[] = [];
  /** Changes or drops what goes out on a topic; undefined: nothing comes. */
  meddle: (topic: string, payload: Buffer) => Buffer | undefined = (_topic, payload) => payload;
  /** Ticks that each session lasts; the third one is a keep-alive later than the first at least. */
  lasts = 3;
  private ticks = 0;
  private runtime: unknown;

  constructor(readonly machine: Machine) {}

  /**
   * Connect where the board has started since, and serve it until it has nothing more to say and the session has lasted; so
   * over its restarts.
   */
  async serve(): Promise<void> {
    const { machine } = this;
    for (let idle = 0; idle < 4; ) {
      await turn();
      if (!machine.isOn) return;
      if (machine.run("typeof device") === "undefined") idle++;
      else if (this.runtime !== machine.runtime) this.connect();
      else if (this.exchange()) idle = 0;
      else if (idle++ && this.ticks < this.lasts) {
        this.ticks++;
        this.call("tick()");
      }
    }
  }

  /** Begin a session with the board, whatever was before. */
  connect(): void {
    this.runtime = this.machine.runtime;
    this.subscribed = [];
    this.ticks = 0;
    this.call("begin()");
  }

  /** Send something that nobody has asked for. */
  send(topic: string, payload: Buffer): void {
    this.give({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false });
  }

  /** Read what the board has put out and answer; false where it was silent. */
  private exchange(): boolean {
    const bytes = Buffer.from(this.machine.run("device.outgoing()") as string, "latin1");
    const read = parser();
    read.on("packet", (packet) => this.answer(packet));
    read.parse(bytes);
    return bytes.length > 0;
  }

  private answer(packet: Packet): void {
    if (packet.cmd === "connect") this.give({ cmd: "connack", returnCode: 0, sessionPresent: false });
    if (packet.cmd === "pingreq") this.give({ cmd: "pingresp" });
    if (packet.cmd === "publish") {
      this.published.push(`${packet.topic} ${packet.payload.toString("latin1")}`);
      if (packet.qos) this.give({ cmd: "puback", messageId: packet.messageId });
    }
    if (packet.cmd !== "subscribe") return;
    const granted = packet.subscriptions.map(({ qos }) => qos);
    this.give({ cmd: "suback", messageId: packet.messageId, granted });
    for (const { topic } of packet.subscriptions) {
      this.subscribed.push(topic);
      const payload = this.retained.get(topic);
      const given = payload && this.meddle(topic, payload);
      if (given) this.send(topic, given);
    }
  }

  private give(packet: Packet): void {
    this.call(`take(${JSON.stringify(generate(packet).toString("latin1"))})`);
  }

  private call(code: string): void {
    if (!this.machine.isOn) return;
    this.machine.run(`device.${code}`);
    if (!this.machine.isOn) return;
    const error = this.machine.run("device.error()");
    if (error) throw error;
  }
}
