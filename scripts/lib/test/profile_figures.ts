// What each profile costs on the same work, the table of firmware/PROFILES.md: bytes of the bundle, what a handshake takes and a payload of 100
// bytes that is published, counted on the simulated board whose own digest shows compressions; on the real interpreter instructions, and variables
// at rest and at the peak. What it is measured with: profile_peers.ts.

import { PROFILES } from "../../../firmware/profiles";
import type { Options } from "../../measure";
import { buildBundle } from "../bundle/build";
import { IDENTITY, KEY, TestDevice } from "./device";
import { cannotCount, instructions } from "./engine_cost";
import { findPeakWith, hasFixedHeap, type Peak } from "./engine_run";
import { newKeys, recordOf } from "./factory";
import { ticketCosts } from "./peer/costs";
import { PeerNetwork } from "./peer/network";
import { skipWithout } from "./peers/install";
import { SUBJECTS, type Subject } from "./profile_peers";

/** Bytes of telemetry that everything is measured on. */
export const TELEMETRY_BYTES = 100;
/** Bytes of a command, and of its answer, in the run whose peak is looked for. */
const MESSAGE_BYTES = 512;
/** The board whose bundle's bytes count, and the one that counts. */
const BUNDLE = "esp32";
const BOARD = "esp32-idf4-sim";

/** The key record of a device whose `psk` is KEY. */
const RECORD: Buffer = recordOf([KEY, ...newKeys().all.slice(1)]).record;

/** What lies in a device's Storage: the record is the first of all, as the bench lays it out. */
export const boardFiles = (): Record<string, string> => ({
  key: RECORD.toString("latin1"),
  conf: JSON.stringify({ id: IDENTITY }),
});

/** What a simulated board counts. */
export interface Counted {
  bytesOut: number;
  bytesIn: number;
  aes: number;
  compressions: number;
}

export interface Figures {
  flash: number;
  /**
   * From TCP's first byte until a payload may go out, the generator's blocks for its random numbers too: of the first session since flash
   * was laid down, and of the next one.
   */
  first: Counted;
  next: Counted;
  /** Times that the device waits for the other end meanwhile. */
  roundTrips: number;
  /** One payload on `up/x`. */
  telemetry: Counted;
}

/** Measure what needs no interpreter. */
export async function figuresOf(subject: Subject): Promise<Figures> {
  const { profile, opening } = subject;
  const { sizes } = await buildBundle({ board: BUNDLE, profile });
  const peer = await subject.start();
  let way = "out";
  let roundTrips = 0;
  const device = await TestDevice.boot(BOARD, {
    ...{ profile, board: { digest: "counted_digest" } },
    machine: {
      files: boardFiles(),
      onWire(direction) {
        if (direction === "in" && way === "out") roundTrips++;
        way = direction;
      },
    },
  });
  const { machine } = device;
  const counted = (): Counted => {
    const { bytesOut, bytesIn, aesBlocks, sha1Compressions, sha256Compressions } = machine.counters;
    return { bytesOut, bytesIn, aes: aesBlocks, compressions: sha1Compressions + sha256Compressions };
  };
  const shake = async () => {
    // the noise is drawn and tested in the call itself
    const socket = device.connect(peer.port);
    machine.resetCounters();
    roundTrips = 0;
    await socket.until(() => socket.connected || socket.closed);
    if (opening && !socket.closed) {
      socket.write(Buffer.from(opening, "latin1"));
      await socket.until(() => socket.received.length > 0 || socket.closed);
    }
    if (socket.closed) throw new Error(`no session of ${subject.name}: error ${socket.error}`);
    return { socket, cost: counted() };
  };
  try {
    const { socket: ended, cost: first } = await shake();
    ended.end();
    await ended.until(() => ended.closed);
    const { socket, cost: next } = await shake();
    const trips = roundTrips;
    machine.resetCounters();
    socket.write(Buffer.from(subject.telemetry("t".repeat(TELEMETRY_BYTES)), "latin1"));
    await peer.until(() => peer.published().length > 0);
    return { flash: sizes.total, first, next, roundTrips: trips, telemetry: counted() };
  } finally {
    device.powerOff();
    await peer.stop();
  }
}

/** Instructions of the real interpreter. */
export interface EngineCost {
  /** The handshake of the first session since flash was laid down, and that of the next one. */
  first: number;
  next: number;
  /** One payload on `up/x`. */
  telemetry: number;
}

/** Payloads over which the instructions of one are the mean: a run waits longer or shorter for its peer, which counts too. */
const MANY = 20;

/** Count them, with valgrind. */
export async function engineCostOf({ profile, opening, telemetry, start }: Subject): Promise<EngineCost> {
  const entry = "firmware/tls/socket_app.ts";
  const { code } = await buildBundle({ board: "linux", entry, profile });
  const peer = await start();
  const text = (value: string) => `atob("${Buffer.from(value, "latin1").toString("base64")}")`;
  /** So many sessions, one after the other, and in the last one so many payloads. */
  const count = (sessions: number, payloads: number) =>
    instructions(
      code,
      `(function () {
        var sessions = 0, sent = 0, socket;
        function ready() { print("ready"); quit(); }
        function more() { if (sent++ < ${payloads}) socket.write(${text(telemetry("t".repeat(TELEMETRY_BYTES)))}); else ready(); }
        function stands() { if (sessions < ${sessions}) socket.end(); else { socket.on("drain", more); more(); } }
        function go() {
          if (sessions++ == ${sessions}) return ready();
          socket = tls.connect({ host: "127.0.0.1", port: ${peer.port} }, function () { ${opening ? `socket.write(${text(opening)})` : "stands()"}; });
          socket.on("data", stands);
          socket.on("error", function (code) { print("failed " + code); quit(); });
          socket.on("close", go);
        }
        go();
      })();`,
      RECORD,
    );
  try {
    const none = await count(0, 0);
    const once = await count(1, 0);
    return {
      first: once - none,
      next: (await count(2, 0)) - once,
      telemetry: ((await count(1, MANY)) - once) / MANY,
    };
  } finally {
    await peer.stop();
  }
}

/** Variables of the interpreter over boot, handshake, and ten commands and answers of 512 bytes, by a device as people have it. */
export async function variablesOf(subject: Subject, guess?: number): Promise<Peak> {
  const { code } = await buildBundle({ board: "linux", profile: subject.profile });
  return findPeakWith(code, undefined, await subject.start(), guess, subject.payloadOf(MESSAGE_BYTES));
}

/** The head of the table. */
export const HEAD = [
  "",
  "flash",
  "variables at rest, at the peak",
  "handshake: bytes out, in",
  "round trips",
  "AES blocks: first session, next",
  "compressions: first, next",
  "million instructions: first session, next",
  "100 bytes: on the wire",
  "AES blocks",
  "compressions",
  "million instructions",
];
/** Columns that an interpreter fills in. */
export const ENGINE_COLUMNS = [2, 7, 11];
const NONE = "-";

/** A row of the table. */
export function cells(subject: Subject, figures: Figures, peak?: Peak, cost?: EngineCost): string[] {
  const { flash, first, next, roundTrips, telemetry } = figures;
  /** One number where the sessions do not differ. */
  const both = (...counts: [first: number, next: number]) => [...new Set(counts)].join(", ");
  const million = (count: number) => (count / 1e6).toFixed(count < 100e6 ? 1 : 0);
  return [
    subject.name,
    flash,
    peak ? `${peak.unladen.idle}, ${peak.peak || `more than ${peak.total}`}` : NONE,
    `${next.bytesOut}, ${next.bytesIn}`,
    roundTrips,
    both(first.aes, next.aes),
    both(first.compressions, next.compressions),
    cost ? `${million(cost.first)}, ${million(cost.next)}` : NONE,
    telemetry.bytesOut,
    telemetry.aes,
    telemetry.compressions,
    cost ? million(cost.telemetry) : NONE,
  ].map(String);
}

/** `make measure A=--profiles`: print the table, a row as soon as it is measured. */
export async function printProfiles({ json }: Options): Promise<void> {
  const fixed = await hasFixedHeap();
  const counts = fixed === false && !cannotCount();
  const line = (row: string[]) => `| ${row.join(" | ")} |`;
  const rows: object[] = [];
  if (!json) console.log(`${line(HEAD)}\n${line(HEAD.map(() => "---"))}`);
  for (const subject of SUBJECTS) {
    const figures = await figuresOf(subject);
    const peak = fixed ? await variablesOf(subject) : undefined;
    const cost = counts ? await engineCostOf(subject) : undefined;
    if (json) {
      const variables = peak && { rest: peak.unladen.idle, peak: peak.peak, of: peak.total };
      rows.push({ name: subject.name, profile: subject.profile, ...figures, variables, instructions: cost });
    } else console.log(line(cells(subject, figures, peak, cost)));
  }
  const small = await smallBytes();
  const tickets = skipWithout("mosquitto") ? undefined : await measureTickets();
  if (json) return console.log(JSON.stringify([...rows, { small: Object.fromEntries(small), tickets }]));
  console.log(`\n${line(["", ...small.map(([profile]) => profile)])}`);
  console.log(line([SMALL_ROW, ...small.map(([, bytes]) => String(bytes))]));
  console.log("\nTickets, on top of TLS: who commands: bytes out, in | AES blocks | who obeys: the same");
  for (const [name, [out, come, aes, ...other]] of tickets ?? [])
    console.log(line([name, `${out}, ${come}`, `${aes}`, `${other[0]}, ${other[1]}`, `${other[2]}`]));
  if (!tickets) console.log(`none: ${skipWithout("mosquitto")}`);
}

/** What the bytes of `small` are called in the page. */
export const SMALL_ROW = "bytes of the bundle for Linux";

/** The bytes of the profiles for 341 variables, whose bundle is the boot file. */
export async function smallBytes(): Promise<[profile: string, bytes: number][]> {
  const names = Object.keys(PROFILES).filter((name) => PROFILES[name].isBootFile);
  return Promise.all(
    names.map(
      async (profile) =>
        [profile, (await buildBundle({ board: "linux", profile })).sizes.total] as [string, number],
    ),
  );
}

/** The rows of tickets, with two devices at Mosquitto and the ticket service. */
async function measureTickets(): Promise<[name: string, counts: number[]][]> {
  const network = await PeerNetwork.start(["A1", "B2"]);
  try {
    return await ticketCosts(network, network.devices, "t".repeat(TELEMETRY_BYTES));
  } finally {
    await network.stop();
  }
}
