// What one handshake and one record of 512 bytes cost a simulated board: bytes, hash compressions, AES blocks, native
// calls, beside the least that firmware/README.md 1 counts and what our extensions add to it, item by item. The built bundle
// runs against an honest server without session id that puts its flight into one record. Leaves out time and
// memory: engine_cost.ts has them from the interpreter.

import { IDENTITY, KEY, type SimulatedBoard, TestDevice } from "./device";
import { startScriptedServer } from "./scripted_server";
import { SUITES, type Suite } from "./tls12/suites";

/** Numbers that a measurement and its limit share. */
export interface Figures {
  bytesOut: number;
  bytesIn: number;
  sha1: number;
  sha256: number;
  aes: number;
}

export interface Cost extends Figures {
  suite: Suite;
  /** Calls of native crypto, those of the generator too. */
  nativeCalls: number;
  /** AES blocks before the ClientHello: the noise's conditioning and the client's random. Not in `aes`. */
  seedBlocks: number;
  /** One application record of 512 bytes, sent and received. */
  record: { out: Figures; in: Figures };
}

/** The board whose own digest shows compressions as the protocol counts them, pads kept. */
const OWN_DIGEST: SimulatedBoard = "esp32-idf4-sim";
/** AES blocks that 16 bytes from the generator take: one of output, two of the next state (SP 800-90A, 10.2.1.5.1). */
const RANDOM_BLOCKS = 3;

/**
 * The least of firmware/README.md 1 (pads kept, L bytes of identity on top of bytesOut), by suite; the row of CCM is that of
 * CCM_8 with 8 bytes more of tag in each Finished.
 */
const LEAST: Readonly<Record<number, Figures>> = {
  0x008c: { bytesOut: 136, bytesIn: 126, sha1: 8, sha256: 44, aes: 6 },
  0x00ae: { bytesOut: 152, bytesIn: 142, sha1: 0, sha256: 52, aes: 8 },
  0xc0a8: { bytesOut: 104, bytesIn: 94, sha1: 0, sha256: 39, aes: 10 },
  0xc0a4: { bytesOut: 112, bytesIn: 102, sha1: 0, sha256: 39, aes: 10 },
};

/** What a handshake may cost: the least, and what each extension adds to it. `suites`: those offered. */
export function handshakeLimit(suite: Suite, suites: readonly Suite[], identityLength: number): Figures {
  const least = LEAST[suite.code];
  const cbc = suite.kind === "cbc";
  const offersCbc = suites.some(({ kind }) => kind === "cbc");
  // both hellos: length of the block 2, max_fragment_length 5, extended_master_secret 4, encrypt_then_mac 4
  const both = 2 + 5 + 4;
  // encrypt-then-MAC (RFC 7366): Finished is padded first (32 bytes), then gets its MAC
  const paddedFirst = cbc ? 32 + suite.macLength - (Math.floor((16 + suite.macLength) / 16) + 1) * 16 : 0;
  // and the MAC covers IV and padding, one compression more for each of the two Finished
  const macMore = cbc ? 2 : 0;
  return {
    // only the client: the further suites 2 each, renegotiation SCSV 2, record_size_limit 6
    bytesOut:
      least.bytesOut +
      identityLength +
      both +
      (offersCbc ? 4 : 0) +
      2 * (suites.length - 1) +
      2 +
      6 +
      paddedFirst,
    // only the server: renegotiation_info 5
    bytesIn: least.bytesIn + both + (cbc ? 4 : 0) + 5 + paddedFirst,
    sha1: least.sha1 + (suite.hash === "sha1" ? macMore : 0),
    sha256: least.sha256 + (suite.hash === "sha256" ? macMore : 0),
    // the IV of our Finished comes from the generator
    aes: least.aes + (cbc ? RANDOM_BLOCKS : 0),
  };
}

/** What one record of 512 bytes may cost, one way. */
export function recordLimit(suite: Suite, out: boolean): Figures {
  const cbc = suite.kind === "cbc";
  // header 5; CBC: IV 16, data, padding 16, MAC; CCM: nonce 8, data, tag
  const bytes = 5 + (cbc ? 16 + 512 + 16 + suite.macLength : 8 + 512 + suite.macLength);
  return {
    bytesOut: out ? bytes : 0,
    bytesIn: out ? 0 : bytes,
    sha1: suite.hash === "sha1" ? 10 : 0,
    sha256: suite.hash === "sha256" ? 10 : 0,
    aes: cbc ? 33 + (out ? RANDOM_BLOCKS : 0) : 67,
  };
}

/** The suites that a board offers: without decryption there is no CBC. */
export function offered(board: SimulatedBoard): Suite[] {
  return SUITES.filter(
    ({ kind, code }) => code in LEAST && (kind === "ccm" || board !== "mdbt42q-w5500-sim"),
  );
}

/** Measure one handshake of a suite, and a record each way, on a simulated board. */
export async function handshakeCost(suite: Suite, board: SimulatedBoard = OWN_DIGEST): Promise<Cost> {
  let arrived = () => {};
  const server = await startScriptedServer({
    key: () => KEY,
    suites: [suite.code],
    joinMessages: true,
    onApplicationData: () => arrived(),
  });
  let seedBlocks = -1;
  const device = await TestDevice.boot(board, {
    board: board === OWN_DIGEST ? { digest: "counted_digest" } : {},
    machine: {
      onWire(direction) {
        // the ClientHello is the first thing out: what AES has done before it was for its random
        if (direction === "out" && seedBlocks < 0) seedBlocks = device.machine.counters.aesBlocks;
      },
    },
  });
  const figures = (): Figures => {
    const { bytesOut, bytesIn, sha1Compressions, sha256Compressions, aesBlocks } = device.machine.counters;
    return { bytesOut, bytesIn, sha1: sha1Compressions, sha256: sha256Compressions, aes: aesBlocks };
  };
  try {
    device.machine.resetCounters();
    const socket = device.connect(server.port);
    await socket.until(() => socket.connected || socket.closed);
    if (!socket.connected)
      throw new Error(`no handshake with ${suite.name} on ${board}: error ${socket.error}`);
    const shaken = figures();
    const { nativeCalls } = device.machine.counters;

    const { session } = await server.connection(0);
    device.machine.resetCounters();
    await new Promise<void>((resolve) => {
      arrived = resolve;
      socket.write(Buffer.alloc(512, "o"));
    });
    const out = figures();
    device.machine.resetCounters();
    session.sendRecord(23, Buffer.alloc(512, "i"));
    await socket.until(() => socket.received.length >= 512 || socket.closed);
    if (socket.closed) throw new Error(`no records with ${suite.name} on ${board}: error ${socket.error}`);
    return {
      ...shaken,
      aes: shaken.aes - seedBlocks,
      suite,
      nativeCalls,
      seedBlocks,
      record: { out, in: figures() },
    };
  } finally {
    device.powerOff();
    await server.stop();
  }
}

/** Bytes of the identity in these measurements. */
export const IDENTITY_LENGTH = IDENTITY.length;
