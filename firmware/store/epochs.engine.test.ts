/*
 * The profile `epochs` on the real interpreter, through the gateway, and R38 for flash and memory: sessions are recorded; then the flash and all
 * that the interpreter's process may write are searched for what opens one before the last. Needs ESPRUINO_BIN, any Linux build of Espruino.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { board } from "../../boards/linux";
import { settingsFile } from "../../scripts/lib/bench/settings_file";
import { buildBundle, LOADER } from "../../scripts/lib/bundle/build";
import { parsePresented } from "../../scripts/lib/keys/identity";
import { storageFiles } from "../../scripts/lib/ota/layout";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { keyOf, keysUnder, RecordedGateway, searchMemory, tracesOf } from "../../scripts/lib/test/epochs";
import { openSession, type Session } from "../../scripts/lib/test/recordings";

const IDENTITY = "v1.meter.SN1";
/** A reconnect as soon as it may be. */
const FAST = { RECONNECT_FIRST_MS: 20, RECONNECT_DOUBLINGS: 0 };
const SESSIONS = 4;
const PATIENCE_MS = 120_000;

const skip = ENGINE ? false : "ESPRUINO_BIN names no interpreter";

interface Opened {
  sessions: Session[];
  master: Buffer;
  flash: Buffer;
  memory: Buffer;
}

/** Let a device have its sessions, each ended by the server, and take all of its memory amid the last one. */
async function open(profile: string): Promise<Opened> {
  const { code: loader } = await buildBundle({ board: "linux", entry: LOADER });
  const { code } = await buildBundle({ board: "linux", profile, defines: FAST });
  const gateway = await RecordedGateway.start();
  const engine = new Engine({
    ...storageFiles(board, code, loader, { sequence: 1 }),
    key: keysUnder(gateway.master, IDENTITY, profile).record.toString("latin1"),
    conf: settingsFile(board, { id: IDENTITY, host: "127.0.0.1", port: gateway.port }),
  });
  try {
    for (let i = 1; i <= SESSIONS; i++) {
      if (i > 1) gateway.cut();
      assert.ok(await gateway.until(() => gateway.statuses >= i, PATIENCE_MS), engine.lines.join("\n"));
    }
    const memory = engine.memory();
    await engine.stop();
    const { sessions, master } = gateway;
    for (const session of sessions)
      assert.match(openSession(session, keyOf(master, session)) ?? "", /up\/status/, "the gateway's key");
    return { sessions, master, flash: engine.flash, memory };
  } finally {
    await engine.stop();
    await gateway.stop();
  }
}

test("R38 the interpreter talks to the gateway under a key of its own each session, and nothing in flash and memory opens one before", {
  skip,
}, async () => {
  const { sessions, master, flash, memory } = await open("epochs");
  // a session that ran out of memory, or of time, costs its epoch
  const epochs = sessions.map(({ identity }) => parsePresented(identity).epoch ?? -1);
  assert.ok(
    epochs.every((epoch, i) => (i === 0 ? epoch >= 0 : epoch > epochs[i - 1])),
    epochs.join(),
  );
  assert.ok(epochs[epochs.length - 1] < 4 * SESSIONS, epochs.join());
  assert.deepEqual([...searchMemory(flash, sessions, master)], []);
  assert.deepEqual([...searchMemory(memory, sessions.slice(0, -1), master)], []);
  for (const session of sessions.slice(0, -1))
    assert.deepEqual(tracesOf(memory, session, master), [], session.identity);
  assert.notDeepEqual(tracesOf(memory, sessions[SESSIONS - 1], master), [], "of the one that runs there are");
});

test("R38 the same search of the main profile's flash opens every session", { skip }, async () => {
  const { sessions, master, flash } = await open("main");
  assert.equal(sessions.length, SESSIONS);
  const opened = searchMemory(flash, sessions, master);
  assert.deepEqual([...opened.keys()], [...sessions.keys()]);
  for (const data of opened.values()) assert.match(data, /up\/status/);
});
