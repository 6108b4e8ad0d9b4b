// One run of board linux's bundle on the real interpreter, and the variables that it takes. The device is one as people have it:
// loader, two slots, four keys, console and updates. A run: boot from Storage, handshake, MQTT connect, then commands down and
// their answers up, each a record of 512 bytes of plaintext. Brokers are Mosquitto, and OpenSSL's s_server with a few
// lines of MQTT of ours behind it. Leaves out instructions (engine_cost.ts).
//
// The interpreter keeps no high-water mark. The peak is found with ballast: a boot file takes variables before the bundle
// starts, and the largest ballast beside which the whole run still passes leaves free just what the run needs. An
// interpreter whose heap grows doubles it when a collection finds nothing free: there a run fits that left its total as
// it was. The figure has in it the interpreter's own variables and the room that memory in pieces wastes.
import { setTimeout as delay } from "node:timers/promises";
import { generate, type Packet, parser } from "mqtt-packet";
import { board } from "../../../boards/linux";
import { settingsFile } from "../bench/settings_file";
import { BUNDLE_FILE, buildBundle, LOADER } from "../bundle/build";
import { storageFiles } from "../ota/layout";
import { IDENTITY, KEY } from "./device";
import { ENGINE, Engine } from "./engine";
import { newKeys, recordOf } from "./factory";
import { findProgram, skipWithout } from "./peers/install";
import * as mosquitto from "./peers/mosquitto";
import { freePort, listens, runProgram, waitUntilReady } from "./peers/process";
import { startRelay } from "./relay";
import { type Suite, suiteOf } from "./tls12/suites";

/** Records of 512 bytes of a run, each way. */
export const RECORDS = 10;
const RECORD_BYTES = 512;

const BASE = "sensor/0001";
const COMMAND = "x";
/**
 * Bytes of a command's payload. Down, a PUBLISH of QoS 1: fixed header 3, length of the topic 2, topic, packet identifier
 * 2, payload. Up, in one record: PUBACK 4, then a PUBLISH of QoS 0: 3, 2, topic shorter by 2, payload: as much.
 */
export const PAYLOAD = RECORD_BYTES - (3 + 2 + `${BASE}/down/${COMMAND}`.length + 2);

/** Variables of the ballast beside its numbers: object, name, counter; of names that no minifier gives. */
const BALLAST_OWN = 3;
/** Bytes of a variable in an interpreter whose heap grows: longer addresses. */
const GROWING_BYTES = 16;
/** What reads the heap of such a one; on the others it would be a part of the figure. */
const SAMPLER =
  'setInterval(function(){USB.write("use "+process.memory().usage+" "+process.memory().total+"\\n")},200);';
/** Longest time without progress, milliseconds: what runs out of memory before it connects says so to nobody. */
const PATIENCE_MS = 40000;

/** A broker that the device connects to, seen from the other side. */
export interface Broker {
  port: number;
  /** Lines "topic payload" of what the device has published. */
  published(): string[];
  /** Publish to one of the device's topics with QoS 1. */
  publish(topic: string, payload: string): void;
  /** All that the server has to say. */
  output(): string;
  stop(): Promise<void>;
}

/** Start Mosquitto for the device, and Mosquitto's own clients beside it. */
export async function startMosquitto(suite: Suite): Promise<Broker> {
  const watcher = { identity: "watcher", key: Buffer.from("00112233445566778899aabbccddeefe", "hex") };
  const peer = await mosquitto.start({ suite: suite.code, identity: IDENTITY, key: KEY, clients: [watcher] });
  const client = (command: string, ...args: string[]) => {
    const tls = `--psk-identity ${watcher.identity} --psk ${watcher.key.toString("hex")} --tls-version tlsv1.2`;
    const common = `-h 127.0.0.1 -p ${peer.port} ${tls} --ciphers ${suite.openssl}:@SECLEVEL=0`.split(" ");
    return runProgram({ command, args: [...common, ...args], input: "" });
  };
  const subscriber = client("mosquitto_sub", "-t", `${BASE}/up/#`, "-v");
  const publisher = client("mosquitto_pub", "-t", `${BASE}/down/${COMMAND}`, "-q", "1", "-l");
  await waitUntilReady(subscriber, "mosquitto_sub", () => /Sending SUBACK/.test(peer.output()));
  return {
    port: peer.port,
    published: () => subscriber.output().split("\n").slice(0, -1),
    publish: (_topic, payload) => publisher.child.stdin?.write(`${payload}\n`),
    output: () => `${subscriber.output()}${publisher.output()}${peer.output()}`,
    async stop() {
      await Promise.all([subscriber.stop(), publisher.stop()]);
      await peer.stop();
    },
  };
}

/** Start `openssl s_server` with just so much of a broker behind it as one device needs. */
export async function startOpenssl(suite: Suite): Promise<Broker> {
  const port = await freePort();
  const server = runProgram({
    command: findProgram("openssl") ?? "openssl",
    args: [
      ...["s_server", "-accept", `127.0.0.1:${port}`, "-nocert", "-quiet", "-tls1_2"],
      ...["-cipher", `${suite.openssl}:@SECLEVEL=0`, "-psk", KEY.toString("hex"), "-psk_identity", IDENTITY],
    ],
    input: "",
  });
  const send = (packet: Packet) => server.child.stdin?.write(generate(packet));
  const published: string[] = [];
  const reader = parser().on("packet", (packet) => {
    if (packet.cmd === "connect") send({ cmd: "connack", returnCode: 0, sessionPresent: false });
    if (packet.cmd === "subscribe") send({ cmd: "suback", messageId: packet.messageId, granted: [1] });
    if (packet.cmd !== "publish") return;
    if (packet.qos) send({ cmd: "puback", messageId: packet.messageId });
    published.push(`${packet.topic} ${packet.payload.toString("latin1")}`);
  });
  server.child.stdout?.on("data", (bytes) => reader.parse(bytes));
  await waitUntilReady(server, "openssl s_server", () => listens(port));
  let messageId = 0;
  return {
    port,
    published: () => published,
    publish: (topic, payload) =>
      send({ cmd: "publish", topic, payload, qos: 1, messageId: ++messageId, dup: false, retain: false }),
    output: () => server.output().replace(/[^\x20-\x7e\n]/g, "."),
    stop: () => server.stop(),
  };
}

/** What lies in Storage where the bundle is the boot file itself (profiles `small`); `port`: of the server. */
export async function bootFiles(bundle: string, port: number): Promise<Record<string, string>> {
  const { key, conf } = await deviceFiles(bundle, port);
  return { key, conf, [BUNDLE_FILE]: bundle };
}

/** How a run went. */
export interface Run {
  /** What stopped it; "" where all of it passed. */
  failure: string;
  /** Variables in use, as the device's first telemetry has them, and all there are at the end; 0 where it failed. */
  idle: number;
  total: number;
  /** Records of 512 bytes seen on the wire. */
  down: number;
  up: number;
}

/** The boot file that takes `variables` before the bundle starts; none for fewer than it has itself. */
export function ballast(variables: number): Record<string, string> {
  const count = variables - BALLAST_OWN;
  return count > 0 ? { ".boot0": `var ball={};for(var nth=0;nth<${count};nth++)ball[nth]=1;` } : {};
}

/** What a bench leaves in Storage for a device whose `psk` is KEY. */
export async function deviceFiles(bundle: string, port: number): Promise<Record<string, string>> {
  const { code: loader } = await buildBundle({ board: "linux", entry: LOADER });
  const [, ...others] = newKeys().all;
  return {
    ...storageFiles(board, bundle, loader, { sequence: 1 }),
    key: recordOf([KEY, ...others]).record.toString("latin1"),
    conf: settingsFile(board, { id: IDENTITY, host: "127.0.0.1", port }),
  };
}

/**
 * Boot a device with `bundle` beside `taken` variables of ballast and let it make the whole run with `broker`. Of a `suite` the records are
 * counted; `payloadBytes`: of each command and its answer; `filesOf`: what lies in Storage.
 */
export async function run(
  bundle: string,
  suite: Suite | undefined,
  broker: Broker,
  taken = 0,
  payloadBytes = PAYLOAD,
  filesOf = deviceFiles,
): Promise<Run> {
  const count = recordCounter(suite ? recordLength(suite) : 0);
  let ended = "";
  const relay = await startRelay(
    broker.port,
    (direction, bytes) => count.take(direction, bytes),
    () => (ended ||= "a session ended"),
  );
  const { total, variableBytes } = await interpreter();
  const boot = ballast(taken);
  if (variableBytes > GROWING_BYTES) boot[".boot0"] = SAMPLER + (boot[".boot0"] ?? "");
  const before = broker.published().length;
  const engine = new Engine({ ...(await filesOf(bundle, relay.port)), ...boot });
  engine.ended.then((how) => (ended = `it ended: ${how}`));
  /** Wait for a message of the device; undefined where none comes. */
  const answered = async (start: string) => {
    for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline && !ended; await delay(10)) {
      const found = broker.published().find((line, i) => i >= before && line.startsWith(start));
      if (found) return found;
    }
  };
  const sampled = () => {
    const totals = engine.lines.flatMap((line) => /^use \d+ (\d+)$/.exec(line)?.[1] ?? []).map(Number);
    return Math.max(total, ...totals);
  };
  try {
    const telemetry = await answered(`${BASE}/up/status {`);
    let failure = telemetry ? "" : "no telemetry";
    for (let i = 0; i < RECORDS && !failure; i++) {
      const payload = String(i).padEnd(payloadBytes, "m");
      // an answer that meets telemetry may find no room and is dropped, and told: then the command is given once more
      let answer: string | undefined;
      for (let times = 0; times < 2 && !answer && !ended; times++) {
        broker.publish(`${BASE}/down/${COMMAND}`, payload);
        answer = await answered(`${BASE}/up/${COMMAND} ${payload}`);
      }
      if (!answer) failure = `no answer to command ${i + 1}`;
    }
    const { down, up } = count;
    // one session for all of it
    failure ||= ended;
    if (failure) return { failure: ended || failure, idle: 0, total: 0, down, up };
    return { failure, idle: Number(/"mem":(\d+)/.exec(telemetry ?? "")?.[1]), total: sampled(), down, up };
  } finally {
    await engine.stop();
    await relay.stop();
  }
}

/** Whether the interpreter's heap has a fixed number of variables, as on boards; undefined: there is none. */
export async function hasFixedHeap(): Promise<boolean | undefined> {
  return ENGINE ? (await interpreter()).variableBytes <= GROWING_BYTES : undefined;
}

let known: Promise<{ total: number; variableBytes: number }> | undefined;

/** Tell how many variables the interpreter has as it starts, and the bytes of one. */
export function interpreter(): Promise<{ total: number; variableBytes: number }> {
  known ??= askInterpreter();
  return known;
}

async function askInterpreter(): Promise<{ total: number; variableBytes: number }> {
  const program = "var m=process.memory();print('memory',m.total,m.blocksize)";
  const engine = new Engine({ [BUNDLE_FILE]: program });
  try {
    const [, total, variableBytes] = await engine.line(/^memory (\d+) (\d+)/);
    return { total: Number(total), variableBytes: Number(variableBytes) };
  } finally {
    await engine.stop();
  }
}

/** Tell why no peak can be found here; undefined where it can. */
export function cannotFindPeak(): string | undefined {
  if (!ENGINE) return "ESPRUINO_BIN names no interpreter";
  return skipWithout("mosquitto", "mosquitto_sub", "mosquitto_pub") || undefined;
}

/** What the runs of one suite came to. */
export interface Peak {
  /** The least room, in variables, from which on the run passes; 0 where it does not fit at all. */
  peak: number;
  total: number;
  /** What stopped the run in the largest room that was too small. */
  limit: string;
  /** The run without ballast. */
  unladen: Run;
}

/** Find the peak of a run with Mosquitto; `guess`, the peak that is expected, shortens the search. */
export async function findPeak(bundle: string, suite: Suite, guess?: number): Promise<Peak> {
  return findPeakWith(bundle, suite, await startMosquitto(suite), guess);
}

/** Find the peak of a run with `broker`, which is stopped then. */
export async function findPeakWith(
  bundle: string,
  suite: Suite | undefined,
  broker: Broker,
  guess = 450,
  payloadBytes = PAYLOAD,
  filesOf = deviceFiles,
): Promise<Peak> {
  try {
    const unladen = await run(bundle, suite, broker, 0, payloadBytes, filesOf);
    const total = unladen.total || (await interpreter()).total;
    if (unladen.failure) return { peak: 0, total, limit: unladen.failure, unladen };
    // rooms for the run: `enough` is, `short` is not
    let enough = total;
    let short = unladen.idle;
    let limit = "";
    const fits = async (room: number) => {
      const laden = await run(bundle, suite, broker, total - room, payloadBytes, filesOf);
      const good = !laden.failure && laden.total <= total;
      if (good) enough = room;
      else {
        short = room;
        limit = laden.failure || "the heap grew";
      }
      return good;
    };
    /** From a room outward in growing steps until the least is between two, then by halves. */
    const search = async (from: number) => {
      for (let room = from, step = 8; room > short && room < enough; step *= 2)
        room += (await fits(room)) ? -step : step;
      while (enough - short > 1) await fits((enough + short) >> 1);
    };
    await search(guess);
    // memory in pieces may stop a run in a larger room too: then the least is above that
    for (const more of [4, 8, 16, 32, 64, 128]) {
      const least = enough;
      if (least + more >= total) break;
      if (await fits(least + more)) enough = least;
      else {
        enough = total;
        await search(least + 2 * more);
      }
    }
    return { peak: enough, total, limit, unladen };
  } finally {
    await broker.stop();
  }
}

/** What is printed of a peak; the end is the same for every suite. */
export function peakLine(suite: Suite, { peak, total, limit, unladen }: Peak): string {
  return peak
    ? `${suite.name}: telemetry says ${unladen.idle}, one fewer: ${limit.replace(/ +at .*/, "")}; peak ${peak} of ${total} variables`
    : `${suite.name}: does not fit: ${limit}`;
}

/** Bytes of a protected record of 512 bytes of plaintext: IV, padded text and MAC, or explicit nonce, text and tag. */
function recordLength(code: Suite): number {
  const { kind, macLength } = suiteOf(code.code);
  return kind === "cbc" ? 16 + (RECORD_BYTES + 16) + macLength : 8 + RECORD_BYTES + macLength;
}

/** Count the application records of this length as they pass. */
function recordCounter(length: number) {
  const APPLICATION_DATA = 23;
  const rest = { "to server": Buffer.alloc(0), "to client": Buffer.alloc(0) };
  return {
    up: 0,
    down: 0,
    take(direction: "to server" | "to client", bytes: Buffer): Buffer {
      let left = Buffer.concat([rest[direction], bytes]);
      for (; left.length >= 5 && left.length >= 5 + left.readUInt16BE(3); ) {
        if (left[0] === APPLICATION_DATA && left.readUInt16BE(3) === length)
          this[direction === "to server" ? "up" : "down"]++;
        left = left.subarray(5 + left.readUInt16BE(3));
      }
      rest[direction] = left;
      return bytes;
    },
  };
}
