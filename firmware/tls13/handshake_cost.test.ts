/*
 * What a handshake of TLS 1.3 with psk_ke costs, held to what it must cost: bytes each way to the byte, and hash compressions where our own
 * digest runs, with HMAC pads and the running transcript kept: in the first handshake under a key, and in those that take its secrets from flash.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IDENTITY, KEY, TestDevice } from "../../scripts/lib/test/device";
import { startScriptedServer13 } from "../../scripts/lib/test/scripted_server";
import { honest13 } from "../../scripts/lib/test/tls13/server_session";
import { profileWith, SUITES_13 } from "../../scripts/lib/test/tls13/suites";

/** Compressions of a message of `length` bytes: 0x80 and 8 bytes of length follow it (FIPS 180-4, 5.1.1). */
const blocks = (length: number) => Math.floor((length + 8) / 64) + 1;

/** The least compressions of the key schedule: two for the pads of a key, two for each HMAC of at most 55 bytes. In the first handshake: */
const PADS = 2;
const HMAC = 2;
const SCHEDULE = {
  // extract from zeros, the binder key, its finished_key, the binder
  binder: PADS + HMAC + PADS + HMAC + PADS + HMAC + PADS + HMAC,
  // derived from early and handshake secret, and what is extracted
  // and the pads of the handshake secret, which are not kept until its traffic secrets
  ladder: 2 * (HMAC + PADS + HMAC) + PADS,
  // the pads of handshake and master secret, four traffic secrets
  traffic: 2 * PADS + 4 * HMAC,
  // of each: pads, key, iv; and twice a finished_key, its pads, a verify_data
  keys: 4 * (PADS + 2 * HMAC) + 2 * (HMAC + PADS + HMAC),
};

/** And in the next ones: of what depends on the key alone but the pads of the finished_key, and the binder. */
const SCHEDULE_NEXT = { ...SCHEDULE, binder: PADS + HMAC, ladder: 0 };

for (const suite of SUITES_13)
  test(`a handshake with ${suite.name} costs no byte and no compression more than it must`, async () => {
    // the fewest bytes: no change_cipher_spec, EncryptedExtensions and Finished in one record
    const server = await startScriptedServer13({
      key: (identity) => (identity.toString() === IDENTITY ? KEY : undefined),
      suites: [suite.code],
      extensions: [],
      joinMessages: true,
      steps: honest13.filter((step) => step !== "ChangeCipherSpec"),
    });
    const profile = profileWith(suite);
    const device = await TestDevice.boot("esp32-idf4-sim", { profile, board: { digest: "counted_digest" } });
    try {
      for (let connection = 0; connection < 3; connection++) {
        device.machine.resetCounters();
        const socket = device.connect(server.port);
        await socket.until(() => socket.connected || socket.closed);
        assert.ok(socket.connected, `error ${socket.error}`);
        const { bytesOut, bytesIn, sha256Compressions } = { ...device.machine.counters };
        socket.end();
        await server.connections[connection].closed;
        // 162 and 117 with the tag of 8; 2 for each further suite, max_fragment_length 5, record_size_limit 6
        const suites = SUITES_13.filter((row) => profileWith(row) === profile).length;
        const tag = suite.tagLength - 8;
        assert.equal(bytesOut, 162 + IDENTITY.length + 2 * (suites - 1) + 5 + 6 + tag, "bytes of the client");
        assert.equal(bytesIn, 117 + tag, "bytes of the server");
        const hello = server.connections[connection].session.seen.clientHelloBytes.length;
        // the running hash, and its end at the binders, ServerHello, EncryptedExtensions and Finished
        const all = hello + 56 + 6 + 36;
        const ends = [hello - 35, hello + 56, hello + 56 + 6, all];
        const transcript =
          Math.floor(all / 64) + ends.reduce((sum, end) => sum + blocks(end) - Math.floor(end / 64), 0);
        const schedule = connection ? SCHEDULE_NEXT : SCHEDULE;
        const least = Object.values(schedule).reduce((sum, each) => sum + each, transcript);
        assert.equal(sha256Compressions, least, "compressions");
        console.log(
          `${suite.name}: ${bytesOut} bytes out, ${bytesIn} in, ${sha256Compressions} compressions`,
        );
      }
    } finally {
      device.powerOff();
      await server.stop();
    }
  });
