/*
 * The built bundles of the profiles `small` on the simulated board against the scripted servers: payloads around the fragment limit both ways; what they have in
 * other words than the main profile, held to the same: a key that is not the device's, every byte of AKEP2's message 3 and of the server's Finished altered,
 * a server without extended master secret, a record that is too long. On the interpreter: small.engine.test.ts.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { makeImage } from "../../scripts/lib/bench/image";
import { readBoard } from "../../scripts/lib/bundle/build";
import { framed, startAkep2Server } from "../../scripts/lib/test/akep2/server";
import { KEY, powerOffShared, sharedDevice } from "../../scripts/lib/test/device";
import { startScriptedServer, type WireConduct } from "../../scripts/lib/test/scripted_server";
import {
  BAD_RECORD_MAC,
  DECRYPT_ERROR,
  HANDSHAKE_FAILURE,
  RECEIVED,
  RECORD_OVERFLOW,
  SENT,
} from "../tls/alert";

/** Bytes of application data: one, one record but for a byte, one, one and a byte, many. */
const PAYLOADS = [1, 127, 128, 129, 2000];
const TLS = { small: 0xc0a8, "small-cbc": 0x008c } as const;
const PROFILES = [...Object.keys(TLS), "small-akep2"];

const stops: (() => Promise<void>)[] = [];
after(async () => {
  await powerOffShared();
  for (const stop of stops) await stop();
});

const deviceOf = (profile: string) => sharedDevice("esp32-sim", { profile });

async function tlsServer(suite: number, conduct: Partial<WireConduct> = {}) {
  const server = await startScriptedServer({ key: () => KEY, suites: [suite], ...conduct });
  stops.push(() => server.stop());
  return server;
}

/** Try a session: its error, 0 where it stands. */
async function errorOf(profile: string, port: number): Promise<number> {
  const socket = (await deviceOf(profile)).connect(port);
  await socket.until(() => socket.connected || socket.closed);
  if (socket.connected) socket.end();
  return socket.error;
}

for (const profile of PROFILES)
  test(`R5 ${profile}: payloads both ways, in records of up to 128 bytes`, async () => {
    const suite = (TLS as Record<string, number>)[profile];
    const server = suite ? await tlsServer(suite) : await startAkep2Server({ key: KEY });
    if (!suite) stops.push(() => server.stop());
    const socket = (await deviceOf(profile)).connect(server.port);
    await socket.until(() => socket.connected || socket.closed);
    assert.ok(socket.connected, `error ${socket.error}`);
    for (const length of PAYLOADS) {
      const sent = Buffer.alloc(length, "the quick brown fox jumps over the lazy dog, ");
      socket.received = Buffer.alloc(0);
      for (let at = 0; at < length; at += 128) socket.write(sent.subarray(at, at + 128));
      await socket.until(() => socket.received.length >= length || socket.closed);
      assert.ok(sent.equals(socket.received), `${length} bytes: error ${socket.error}`);
    }
    socket.end();
  });

for (const [profile, suite] of Object.entries(TLS)) {
  test(`R2 R4 ${profile}: another key, a Finished that is altered, no extended master secret`, async () => {
    const other = await tlsServer(suite, { key: () => Buffer.alloc(16, 7) });
    assert.ok(
      [RECEIVED + BAD_RECORD_MAC, RECEIVED + DECRYPT_ERROR].includes(await errorOf(profile, other.port)),
    );
    for (let at = 4; at < 16; at++) {
      const altered = await tlsServer(suite, {
        message(name, bytes) {
          const message = Buffer.from(bytes);
          if (name === "Finished") message[at] ^= 1;
          return message;
        },
      });
      assert.equal(await errorOf(profile, altered.port), SENT + DECRYPT_ERROR, `byte ${at}`);
    }
    const without = await tlsServer(suite, { extendedMasterSecret: false });
    assert.equal(await errorOf(profile, without.port), SENT + HANDSHAKE_FAILURE);
    assert.equal(await errorOf(profile, (await tlsServer(suite)).port), 0);
  });

  test(`R9 ${profile}: a record of more than 128 bytes is refused`, async () => {
    const server = await tlsServer(suite, {
      onApplicationData: (session) => session.sendRecord(23, Buffer.alloc(129)),
    });
    const socket = (await deviceOf(profile)).connect(server.port);
    await socket.until(() => socket.connected || socket.closed);
    socket.write(Buffer.from("x"));
    await socket.until(() => socket.closed);
    assert.equal(socket.error, SENT + RECORD_OVERFLOW);
    assert.equal(socket.received.length, 0);
  });
}

test("R2 R19 small-akep2: another key, and every byte of message 3 altered", async () => {
  const other = await startAkep2Server({ key: Buffer.alloc(16, 7) });
  stops.push(() => other.stop());
  assert.equal(await errorOf("small-akep2", other.port), RECEIVED + HANDSHAKE_FAILURE);
  for (let at = 6; at < 59; at++) {
    const server = await startAkep2Server({
      key: KEY,
      wire(which, packet) {
        const altered = Buffer.from(packet);
        if (which === 3) altered[at] ^= 1;
        return [framed(altered)];
      },
    });
    const error = await errorOf("small-akep2", server.port);
    await server.stop();
    assert.ok([SENT + DECRYPT_ERROR, SENT + BAD_RECORD_MAC].includes(error), `byte ${at}: error ${error}`);
  }
  const server = await startAkep2Server({ key: KEY });
  stops.push(() => server.stop());
  assert.equal(await errorOf("small-akep2", server.port), 0);
});

test("bench, flash and image say that there is no slot for it", async () => {
  const board = (await readBoard("esp32")) as unknown as Parameters<typeof makeImage>[0];
  await assert.rejects(
    makeImage(board, { profile: "small" }),
    /no loader and no slots: make bundle PROFILE=small/,
  );
});
