/*
 * What a handshake costs, held to the least that it can cost: bytes each way, and hash compressions where our own digest
 * runs, with HMAC pads and the running transcript kept. The least is worked out here from the lengths of RFC 5246, and
 * checked against the figures of the plain handshake: 44 and 8 for CBC_SHA, 52 for CBC_SHA256, 39 for CCM_8.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IDENTITY, KEY, TestDevice } from "../../scripts/lib/test/device";
import { startScriptedServer } from "../../scripts/lib/test/scripted_server";
import { SUITES, type Suite } from "../../scripts/lib/test/tls12/suites";

/** Compressions of a message of `length` bytes: 0x80 and 8 bytes of length follow it (FIPS 180-4, 5.1.1). */
const blocks = (length: number) => Math.floor((length + 8) / 64) + 1;
/** An HMAC whose pads are kept: the message, and one for the outer hash. */
const hmac = (length: number) => blocks(length) + 1;
/** Turning a key into its two pads. */
const PADS = 2;

/** P_SHA256 over a label and seed of `seed` bytes (RFC 5246, 5): A(i) and an output for each 32 bytes. */
function prf(seed: number, output: number): number {
  const rounds = Math.ceil(output / 32);
  return hmac(seed) + (rounds - 1) * hmac(32) + rounds * hmac(32 + seed);
}

interface Lengths {
  /** Bytes of the handshake messages from ClientHello to ClientKeyExchange. */
  transcript: number;
  extendedMasterSecret: boolean;
  encryptThenMac: boolean;
}

/** The least compressions: [SHA-1, SHA-256]. */
function leastCompressions(suite: Suite, lengths: Lengths): [number, number] {
  const { transcript, extendedMasterSecret, encryptThenMac } = lengths;
  const keyBlock = suite.kind === "ccm" ? 40 : 2 * (16 + suite.macLength);
  const master = PADS + prf(extendedMasterSecret ? 22 + 32 : 13 + 64, 48);
  const expansion = PADS + prf(13 + 64, keyBlock);
  const finished = 2 * prf(15 + 32, 12);
  // the running hash, its end for our Finished, and again with the 16 bytes of our Finished for the server's
  const whole = (length: number) => Math.floor(length / 64);
  const end = (length: number) => blocks(length) - whole(length);
  const hashes = whole(transcript + 16) + end(transcript) + end(transcript + 16);
  // each Finished record: 13 bytes before the text, or before IV and two blocks of ciphertext
  const macs = suite.kind === "cbc" ? 2 * (PADS + hmac(encryptThenMac ? 13 + 16 + 32 : 13 + 16)) : 0;
  const sha256 = master + expansion + finished + hashes;
  return suite.hash === "sha1" ? [macs, sha256] : [0, sha256 + macs];
}

test("the least compressions are those of the plain handshake with an identity of 4 bytes", () => {
  const plain = { transcript: 45 + 42 + 4 + 6 + 4, extendedMasterSecret: false, encryptThenMac: false };
  const least = SUITES.map((suite) => leastCompressions(suite, plain));
  assert.deepEqual(least.slice(0, 3), [
    [8, 44],
    [0, 52],
    [0, 39],
  ]);
});

/** Bytes of the plain handshake without the identity: records of both flights, server without session id. */
const PLAIN_BYTES: Record<number, { out: number; in: number }> = {
  0x008c: { out: 136, in: 126 },
  0x00ae: { out: 152, in: 142 },
  0xc0a8: { out: 104, in: 94 },
  0xc0a4: { out: 112, in: 102 },
};

for (const suite of SUITES)
  test(`a handshake with ${suite.name} costs no byte and no compression more than it must`, async () => {
    const server = await startScriptedServer({
      key: (identity) => (identity.toString() === IDENTITY ? KEY : undefined),
      suites: [suite.code],
      joinMessages: true, // the fewest bytes: ServerHello and ServerHelloDone in one record
    });
    const device = await TestDevice.boot("esp32-idf4-sim", { board: { digest: "counted_digest" } });
    try {
      // the second connection: the first may still make what is made once
      for (let connection = 0; connection < 2; connection++) {
        device.machine.resetCounters();
        const socket = device.connect(server.port);
        await socket.until(() => socket.connected || socket.closed);
        assert.ok(socket.connected, `error ${socket.error}`);
        const counters = { ...device.machine.counters };
        socket.end();
        await server.connections[connection].closed;
        const cbc = suite.kind === "cbc";
        const { session } = server.connections[connection];

        // two bytes for each suite offered beside this one; SCSV 2, length 2, MFL 5, RSL 6, EMS 4, EtM 4
        const more = 2 * (SUITES.length - 1) + 2 + 2 + 5 + 6 + 4 + 4;
        // length 2, renegotiation_info 5, MFL 5, EMS 4, and EtM 4 with CBC
        const serverMore = 2 + 5 + 5 + 4 + (cbc ? 4 : 0);
        // Finished under encrypt-then-MAC with SHA-1: IV, two blocks, 20, against IV and three blocks
        const etm = suite.hash === "sha1" ? 4 : 0;
        const plain = PLAIN_BYTES[suite.code];
        assert.equal(counters.bytesOut, plain.out + IDENTITY.length + more + etm, "bytes of the client");
        assert.equal(counters.bytesIn, plain.in + serverMore + etm, "bytes of the server");

        const transcript = session.seen.clientHelloBytes.length + (42 + serverMore) + 4 + 6 + IDENTITY.length;
        const least = leastCompressions(suite, {
          transcript,
          extendedMasterSecret: true,
          encryptThenMac: true,
        });
        const took: [number, number] = [counters.sha1Compressions, counters.sha256Compressions];
        assert.ok(took[0] > 0 === (suite.hash === "sha1") && took[1] > 0, "nothing was counted");
        assert.ok(took[0] <= least[0] && took[1] <= least[1], `${took} compressions, least ${least}`);
      }
    } finally {
      device.powerOff();
      await server.stop();
    }
  });
