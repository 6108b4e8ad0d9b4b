/*
 * Devices of the profile `peer` on simulated boards over brokers that nobody trusts: two Mosquittos, the devices at the near one, the real ticket
 * service at the far one, and between them somebody who carries everything and may do with it what he likes (`wire`).
 */
import { randomBytes } from "node:crypto";
import { EMPTY_LIST } from "../../gateway/fleet_list";
import { parseIdentity } from "../../keys/identity";
import { deriveDeviceKey } from "../../keys/kdf";
import { brokerKey } from "../../keys/peer_keys";
import { Broker } from "../../ota/broker";
import { type Carrier, carry, type TicketEvent } from "../../tickets/carrier";
import type { Rules } from "../../tickets/service";
import { type SimulatedBoard, TestDevice, Watch } from "../device";
import * as mosquitto from "../peers/mosquitto";
import type { Peer } from "../peers/process";

export const PRODUCT = "scripts/lib/test/products/commanding.ts";

/** A message on its way, as bytes. */
export interface Carried {
  topic: string;
  payload: Buffer;
}
/** What becomes of a message; undefined: it goes on as it is. */
export type Wire = (message: Carried) => Carried[] | undefined;

export interface PeerDevice {
  serial: string;
  identity: string;
  /** Of label `peer`. */
  key: Buffer;
  device: TestDevice;
  /** Command another device; false where it was not taken. */
  tell(serial: string, name: string, payload: string): boolean;
  /** What was answered to it, `<name>=<payload>` each. */
  answers(): string[];
  /** The names of commands that it has carried out. */
  obeyed(): string[];
  /** What it printed of errors. */
  codes(): string[];
  /** Whether a variable of its holds this, as bytes. */
  holds(secret: Buffer): boolean;
}

export class PeerNetwork extends Watch {
  /** All that went over the wire, both ways, in its order, before anybody changed it. */
  readonly carried: Carried[] = [];
  readonly events: TicketEvent[] = [];
  readonly devices: PeerDevice[] = [];
  wire: Wire = () => undefined;
  private constructor(
    private readonly master: Buffer,
    private readonly near: Peer,
    private readonly far: Peer,
    private readonly ends: { near: Broker; far: Broker; service: Broker },
  ) {
    super();
  }
  private carrier: Carrier | undefined;

  /** Start the brokers, the service, and a device of each serial. */
  static async start(
    serials: readonly string[],
    board: SimulatedBoard = "esp32-sim",
    product = PRODUCT,
  ): Promise<PeerNetwork> {
    const master = randomBytes(16);
    const us = { identity: "bridge", key: randomBytes(16) };
    const identities = serials.map((serial) => `v1.sensor.${serial}`);
    const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity), "kdf", "peer");
    const clients = identities.map((identity) => ({ identity, key: brokerKey(keyOf(identity)) }));
    const [near, far] = await Promise.all([mosquitto.start({ ...us, clients }), mosquitto.start(us)]);
    const connect = ({ port }: Peer) =>
      Broker.connect({ host: "127.0.0.1", port, psk: us, giveUpMs: Number.POSITIVE_INFINITY });
    const ends = { near: await connect(near), far: await connect(far), service: await connect(far) };
    const network = new PeerNetwork(master, near, far, ends);
    await network.serve();
    await ends.near.listen(["+/+/up/ticket", "+/+/up/peer/+"], (topic, payload) =>
      network.pass("far", { topic, payload }),
    );
    await ends.far.listen(["+/+/down/#"], (topic, payload) => network.pass("near", { topic, payload }));
    for (const [at, serial] of serials.entries())
      await network.boot(board, product, serial, keyOf(identities[at]));
    return network;
  }

  /** Start the service anew, with these rules. */
  async serve(rules: Rules = { list: EMPTY_LIST }): Promise<void> {
    if (this.carrier) return this.carrier.setRules(rules);
    this.carrier = await carry(this.ends.service, {
      keys: { deviceKey: (identity, label) => deriveDeviceKey(this.master, identity, "kdf", label) },
      rules,
      // whoever is in between says what he likes, as often as he likes
      rate: { messagesPerSecond: 1_000_000, burst: 1_000_000 },
      onEvent: (event) => {
        this.events.push(event);
        this.wake();
      },
    });
  }

  private pass(to: "near" | "far", message: Carried): void {
    this.carried.push(message);
    for (const each of this.wire(message) ?? [message]) this.inject(to, each);
    this.wake();
  }

  /** Say something to a device, or to the service, that nobody has said. */
  inject(to: "near" | "far", { topic, payload }: Carried): void {
    void this.ends[to].publish([{ topic, payload, retain: false }]).catch(() => {});
  }

  private async boot(board: SimulatedBoard, product: string, serial: string, key: Buffer): Promise<void> {
    const identity = `v1.sensor.${serial}`;
    const device = await TestDevice.boot(board, {
      ...{ entry: "firmware/main.ts", profile: "peer", product, identity, key, port: this.near.port },
      // the line is there when this turn is over
      onLine: () => queueMicrotask(() => this.wake()),
    });
    this.devices.push({
      ...{ serial, identity, key, device },
      tell: device.machine.run("tell") as PeerDevice["tell"],
      obeyed: () => device.lines.flatMap((line) => (line.startsWith("obeyed ") ? [line.slice(7)] : [])),
      answers: () => device.lines.filter((line) => line.includes("=")),
      holds: (secret) =>
        device.texts().some((text) => text.includes(JSON.stringify(secret.toString("latin1")).slice(1, -1))),
      codes: () => device.lines.filter((line) => /^E\d/.test(line)),
    });
    await device.until(() => this.isUp(device));
  }

  /** Command, and wait for the answer. */
  async ask(from: PeerDevice, to: PeerDevice, name: string, payload: string): Promise<string> {
    const before = from.answers().length;
    if (!from.tell(to.serial, name, payload)) throw new Error(`${name} was not taken`);
    await this.until(() => from.answers().length > before);
    return from.answers()[before];
  }

  /** Break the connections of all devices. */
  async cut(): Promise<void> {
    await this.near.stop();
  }

  private isUp(device: TestDevice): boolean {
    return device.lines.includes("granted");
  }

  async stop(): Promise<void> {
    for (const { device } of this.devices) device.powerOff();
    await this.carrier?.stop();
    for (const end of Object.values(this.ends)) await end.close();
    await Promise.all([this.near.stop(), this.far.stop()]);
  }
}
