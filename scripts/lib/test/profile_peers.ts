/*
 * What the profiles are measured with (profile_figures.ts), a row each: the profile, what it says first, and its other end on 127.0.0.1, the scripted
 * servers of these tests with so much of a broker behind them as one device needs. The same work for all: a payload on `up/x`. Peers that nobody
 * here wrote are in the interop tests.
 */
import { generate, type Packet, parser } from "mqtt-packet";
import { leafOf } from "../keys/epoch_tree";
import type { Transform } from "../keys/esp_keys";
import { parsePresented } from "../keys/identity";
import { startAkep2Server } from "./akep2/server";
import { KEY, Watch } from "./device";
import type { Broker } from "./engine_run";
import { EspPeer } from "./esp/peer";
import { honest, message } from "./mqtt_server";
import { startScriptedServer, startScriptedServer13 } from "./scripted_server";
import { GCM, SUITES } from "./tls12/suites";
import { honest13 } from "./tls13/server_session";
import { profileWith, SUITES_13 } from "./tls13/suites";

const BASE = "sensor/0001";

/** The other end of one device. */
export class ProfilePeer extends Watch implements Broker {
  port = 0;
  stop: () => Promise<void> = async () => {};
  private readonly lines: string[] = [];
  private say: (topic: string, payload: string) => void = () => {};
  private readonly parsers = new Map<object, (bytes: Buffer) => void>();

  published(): string[] {
    return this.lines;
  }
  publish(topic: string, payload: string): void {
    this.say(topic, payload);
  }
  output(): string {
    return this.lines.join("\n");
  }

  /** Take what a device said by MQTT in this session; `send` gives it the answer. */
  take(session: object, bytes: Buffer, send: (bytes: Buffer) => void): void {
    let parse = this.parsers.get(session);
    if (!parse) {
      const reader = parser({ protocolVersion: 4 });
      reader.on("packet", (packet: Packet) => {
        for (const answer of honest(packet)) send(generate(answer as Packet));
        if (packet.cmd === "publish") this.hear(`${packet.topic} ${packet.payload.toString("latin1")}`);
      });
      parse = (some) => void reader.parse(some);
      this.parsers.set(session, parse);
    }
    let messageId = 0;
    this.say = (topic, payload) =>
      send(generate({ ...message(topic, payload), qos: 1, messageId: ++messageId } as Packet));
    parse(bytes);
  }

  /** Take one of its messages. */
  hear(line: string): void {
    this.lines.push(line);
    this.wake();
  }

  /** Of one under ESP. */
  static async overEsp(transform: Transform): Promise<ProfilePeer> {
    const peer = new ProfilePeer();
    const esp = await EspPeer.start(KEY, transform);
    // EspPeer keeps what came: what is new in it is told
    let told = 0;
    const wake = esp.wake.bind(esp);
    esp.wake = () => {
      wake();
      for (const each of esp.packets.slice(told)) {
        told++;
        if (each.datagram.startsWith("up/")) peer.hear(`${BASE}/${each.datagram}`);
      }
      peer.wake();
    };
    peer.say = (topic, payload) => esp.last.say(`${topic.slice(BASE.length + 1)} ${payload}`);
    peer.stop = () => esp.stop();
    peer.port = esp.port;
    return peer;
  }
}

export interface Subject {
  name: string;
  /** Of firmware/profiles.ts. */
  profile: string;
  /** What a device says before the other end is proved, and its answer: under ESP, where there is no handshake. */
  opening: string;
  /** What a device says to publish `payload` on `up/x`. */
  telemetry(payload: string): string;
  /** Bytes of payload that fill a message of so many bytes: of a record's plaintext, or a datagram. */
  payloadOf(messageBytes: number): number;
  start(): Promise<ProfilePeer>;
}

export const MQTT = {
  opening: "",
  telemetry: (payload: string) => generate(message(`${BASE}/up/x`, payload)).toString("latin1"),
  // PUBLISH down at QoS 1: type, remaining length of 2 bytes, topic, packet identifier
  payloadOf: (bytes: number) => bytes - (3 + 2 + `${BASE}/down/x`.length + 2),
};

/** TLS 1.2 by a suite, its key by the identity. */
function tls12(
  name: string,
  profile: string,
  code: number,
  key: (identity: Buffer) => Buffer = () => KEY,
): Subject {
  return {
    ...{ ...MQTT, name, profile },
    async start() {
      const peer = new ProfilePeer();
      const { port, stop } = await startScriptedServer({
        ...{ key, suites: [code], joinMessages: true },
        onApplicationData: (session, data) => peer.take(session, data, (bytes) => session.sendData(bytes)),
      });
      return Object.assign(peer, { port, stop });
    },
  };
}

function tls13(code: number): Subject {
  const suite = SUITES_13.find((row) => row.code === code) as (typeof SUITES_13)[number];
  return {
    ...{ ...MQTT, name: suite.name, profile: profileWith(suite) },
    async start() {
      const peer = new ProfilePeer();
      const { port, stop } = await startScriptedServer13({
        ...{ key: () => KEY, suites: [code], joinMessages: true, extensions: [] },
        steps: honest13.filter((step) => step !== "ChangeCipherSpec"),
        onApplicationData: (session, data) => peer.take(session, data, (bytes) => session.sendData(bytes)),
      });
      return Object.assign(peer, { port, stop });
    },
  };
}

const APPLICATION_DATA = 23;

export const AKEP2: Subject = {
  ...{ ...MQTT, name: "AKEP2 as EAP-PSK", profile: "akep2" },
  async start() {
    const peer = new ProfilePeer();
    const server = await startAkep2Server({
      key: KEY,
      onData(data) {
        const session = server.sessions[server.sessions.length - 1];
        peer.take(session, data, (bytes) =>
          session.socket.write(session.records?.seal(APPLICATION_DATA, bytes) as Buffer),
        );
      },
    });
    return Object.assign(peer, { port: server.port, stop: () => server.stop() });
  },
};

function esp(name: string, profile: string, transform: Transform): Subject {
  // a datagram waits for the record layer with its length before it (firmware/esp/outgoing.ts)
  const datagram = (text: string) => `${String.fromCharCode(text.length >> 8, text.length & 255)}${text}`;
  return {
    ...{ name, profile, opening: datagram("ping") },
    telemetry: (payload) => datagram(`up/x ${payload}`),
    payloadOf: (bytes) => bytes - "down/x ".length,
    start: () => ProfilePeer.overEsp(transform),
  };
}

const CCM_8 = 0xc0a8;

/** A row of the table each, in its order. */
export const SUBJECTS: readonly Subject[] = [
  ...SUITES.map(({ name, code }) => tls12(name, "main", code)),
  tls12(GCM.name, "gcm", GCM.code),
  tls13(0x1305),
  tls13(0x1301),
  tls12("epochs, TLS_PSK_WITH_AES_128_CCM_8", "epochs", CCM_8, (identity) =>
    leafOf(KEY, parsePresented(identity.toString()).epoch as number),
  ),
  AKEP2,
  esp("ESP, AES-CCM", "esp", "ccm"),
  esp("ESP, AES-128-CBC with HMAC-SHA-1-96", "esp-cbc", "cbc"),
];
