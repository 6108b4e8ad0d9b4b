// A device's first hours on the real interpreter, board linux: blank with its prompt open, tested, given its keys, locked;
// flooded from power-on; reset. And what the lock costs of the heap. Needs ESPRUINO_BIN, any Linux build of Espruino;
// skipped without.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { board } from "../../boards/linux";
import { settingsFile } from "../../scripts/lib/bench/settings_file";
import { BUNDLE_FILE, buildBundle, LOADER } from "../../scripts/lib/bundle/build";
import { challengeAnswer, decodeBase32, ROLES, type Role } from "../../scripts/lib/console/challenge";
import { masterFromBytes } from "../../scripts/lib/custody/master";
import { startGateway } from "../../scripts/lib/gateway/gateway";
import { keyRecord, proofKey } from "../../scripts/lib/keys/kdf";
import { programIn, storageFiles } from "../../scripts/lib/ota/layout";
import { deviceKeys, newMasters } from "../../scripts/lib/simulate/finished_device";
import { IDENTITY } from "../../scripts/lib/test/device";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { ballast } from "../../scripts/lib/test/engine_run";
import { CONF, mac, newKeys, PASSPHRASE, PLACE } from "../../scripts/lib/test/factory";
import { KEY_REFUSED, NAME_UNKNOWN, REQUEST_UNKNOWN } from "../tls/alert";

/** Most variables that the lock may hold while it waits. */
const MOST = 40;
/** Builds with fewer variables run the firmware, but not the bench's program beside it. */
const PROGRAM_MOST = 900;
/** Builds with fewer do not run the firmware at all (firmware.engine.test.ts). */
const FIRMWARE_MOST = 500;

/** Time for 20,000 bytes: the Linux build opens its file of flash anew for every 16 bytes of program that it reads. */
const FLOOD_MS = 120_000;

const skip = ENGINE ? false : "ESPRUINO_BIN names no interpreter";
let bundle = "";
let loader = "";
let program = "";
let variables = 0;

before(async () => {
  if (!ENGINE) return;
  bundle = (await buildBundle({ board: "linux" })).code;
  loader = (await buildBundle({ board: "linux", entry: LOADER })).code;
  program = (await buildBundle({ board: "linux", entry: "firmware/boot/provision.ts" })).code;
  const engine = new Engine({ [BUNDLE_FILE]: "print('has',process.memory().total)" });
  variables = Number((await engine.line(/^has (\d+)/))[1]);
  await engine.stop();
});

/** What the bench has written, with this in the key's place. */
const image = (key: string, from = loader) => ({
  ...storageFiles(board, bundle, from, { program }),
  key,
  conf: settingsFile(board, JSON.parse(CONF)),
});

/** Send something and wait for the line that answers it. */
async function ask(
  engine: Engine,
  request: string,
  pattern: RegExp,
  timeoutMs = 10000,
): Promise<RegExpMatchArray> {
  engine.lines.length = 0;
  engine.type(request);
  return engine.line(pattern, timeoutMs);
}

/** Ask for a proof and check it. */
async function prove(engine: Engine, keys: ReturnType<typeof newKeys>): Promise<void> {
  const nonce = randomBytes(11);
  const [, bytes] = await ask(
    engine,
    `prove ${nonce.toString("base64")}`,
    new RegExp(`^${IDENTITY} \\d+ (\\S+)$`),
  );
  const proofs = keys.all.map((key) => mac(proofKey(key), "prove", nonce));
  assert.deepEqual(Buffer.from(bytes, "base64"), Buffer.concat([keys.record.subarray(64), ...proofs]));
}

/** Open the service commands. */
async function unlock(engine: Engine, keys: ReturnType<typeof newKeys>, role: Role): Promise<void> {
  await ask(engine, "unlock", /^nonce:/);
  const field = (name: string) =>
    engine.lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1) ?? "";
  const nonce = decodeBase32(field("nonce")) as Buffer;
  const answer = challengeAnswer(keys.console, { role, nonce, boots: Number(field("boots")), minutes: 5 });
  await ask(engine, `unlock ${role} 5 ${answer.toLowerCase()}`, /^E0$/);
}

test("R25 R27 R30 the interpreter: tested, provisioned, locked, proved, reset", { skip }, async (t) => {
  if (variables < PROGRAM_MOST) return t.skip(`${variables} variables`);
  const keys = newKeys();
  const engine = new Engine(image(PLACE));
  try {
    await ask(engine, "print('open')", /^open$/);
    engine.type(`eval(${programIn(board, program.length)})`);
    await ask(engine, 'provision("test")', /^E0$/);
    const request = `provision("key ${keys.record.toString("base64")}")`;
    await ask(engine, request, /^E0$/);
    await ask(engine, request, new RegExp(`^E${KEY_REFUSED}$`));
    engine.type("load()");
    await delay(500);
    await prove(engine, keys);
    await ask(engine, "print('open')", new RegExp(`^E${REQUEST_UNKNOWN}$`));
    assert.ok(!engine.lines.includes("open"));
    await unlock(engine, keys, ROLES.reset);
    const [, code] = await ask(engine, "factory", /^code:(\w{4})$/);
    engine.type(`factory ${code}`);
    await delay(1500);
    await ask(engine, "print('open again')", /^open again$/);
    await ask(engine, "print(require('Storage').list().join())", new RegExp(`^${BUNDLE_FILE},.fill,.slots$`));
    const pieces: string[] = [];
    for (let at = 0; at < 48 * 1024; at += 256) {
      const read = `print("@"+btoa(require("Flash").read(256,${0x10000000 + at})))`;
      pieces.push((await ask(engine, read, /^@(\S+)$/))[1]);
    }
    const flash = Buffer.concat(pieces.map((piece) => Buffer.from(piece, "base64")));
    assert.ok(flash.includes(Buffer.from(bundle.slice(0, 100), "latin1")), "what was read is the flash");
    for (const secret of [...keys.all, Buffer.from(PASSPHRASE)])
      for (let i = 0; i + 6 <= secret.length; i++) assert.ok(!flash.includes(secret.subarray(i, i + 6)));
  } finally {
    await engine.stop();
  }
});

test("R27 the interpreter: floods of Ctrl-C from power-on, and every byte", { skip }, async (t) => {
  if (variables < FIRMWARE_MOST) return t.skip(`${variables} variables`);
  const keys = newKeys();
  const engine = new Engine(image(keys.record.toString("latin1")));
  const send = (bytes: Buffer) => engine.send(bytes);
  try {
    // there before the interpreter is
    for (let i = 0; i < 200; i++) {
      send(Buffer.alloc(100, 3));
      await delay(5);
    }
    send(Buffer.from("\n"));
    await ask(engine, "id", /^id:/, FLOOD_MS);
    await prove(engine, keys);
    // 4 ends the Linux build itself, whatever has its console
    for (let byte = 0; byte < 256; byte++) if (byte !== 4) send(Buffer.alloc(65, byte));
    send(Buffer.from("\nprint('open')\n"));
    await ask(engine, "id", /^id:/, FLOOD_MS);
    await prove(engine, keys);
    assert.ok(
      !engine.lines.some((line) => /^open$|^=|Uncaught|MEMORY|ERROR/.test(line)),
      engine.lines.join("\n"),
    );
  } finally {
    await engine.stop();
  }
});

test("R27 the interpreter: a flood while the loader is slow leaves the prompt shut, and the device runs", {
  skip,
}, async (t) => {
  if (variables < FIRMWARE_MOST) return t.skip(`${variables} variables`);
  const keys = newKeys();
  // a slow chip: a second goes by between the loader's taking of the port and the rest of it
  const head = "get code(){";
  assert.ok(loader.includes(head));
  const slow = loader.replace(head, `${head}(until=>{while(getTime()<until);})(getTime()+1);`);
  const engine = new Engine(image(keys.record.toString("latin1"), slow));
  try {
    for (let i = 0; i < 100; i++) {
      engine.send(Buffer.alloc(20, 3));
      await delay(10);
    }
    engine.send(Buffer.from("\nprint('open')\nquit()\n"));
    await ask(engine, "id", /^id:/, FLOOD_MS);
    assert.ok(!engine.lines.some((line) => /^open$|^=|debug/.test(line)), engine.lines.join("\n"));
  } finally {
    await engine.stop();
  }
});

test("the interpreter: a name that DNS does not know is told by `status`, with 500 variables too", {
  skip,
}, async (t) => {
  if (variables < FIRMWARE_MOST) return t.skip(`${variables} variables`);
  // net.connect throws within two sections: the interpreter's own text of where that was must leave room
  const conf = JSON.stringify({ ...JSON.parse(CONF), host: "nowhere.invalid" });
  const key = newKeys().record.toString("latin1");
  const engine = new Engine({ ...image(key), conf, ...ballast(variables - FIRMWARE_MOST) });
  // to lay the ballast of a large heap alone takes it seconds
  const asking = setInterval(() => engine.type("status"), 2000);
  try {
    await engine.line(new RegExp(`^err:${NAME_UNKNOWN}$`), 40000);
    assert.ok(!engine.lines.some((line) => /MEMORY|Uncaught|ERROR/.test(line)), engine.lines.join("\n"));
  } finally {
    clearInterval(asking);
    await engine.stop();
  }
});

test("R25 R29 the interpreter: requests in the midst of handshakes take neither the console nor the session", {
  skip,
}, async (t) => {
  if (variables < FIRMWARE_MOST) return t.skip(`${variables} variables`);
  const masters = newMasters();
  const gateway = await startGateway({ master: masterFromBytes(Buffer.from(masters.psk)) });
  const { id } = JSON.parse(CONF);
  const engine = new Engine({
    ...image(keyRecord(deviceKeys(masters, id)).toString("latin1")),
    conf: settingsFile(board, { ...JSON.parse(CONF), port: gateway.port }),
  });
  try {
    await ask(engine, "hs", /^step:8$/, 30000);
    const requests = ["status", "unlock", "log", "selftest", "conf", "prove AAAA", "cnt", "update", "hs"];
    for (let turn = 0; turn < 10; turn++)
      for (const request of requests) {
        engine.type(request);
        await delay((turn * 37 + request.length * 53) % 200);
      }
    // what was asked for before is answered in its time
    await ask(engine, "nothing", new RegExp(`^E${REQUEST_UNKNOWN}$`), FLOOD_MS);
    // the echo first: a step before it is that of the session which this request ends
    await ask(engine, "hs", /^hs$/);
    engine.lines.length = 0;
    await engine.line(/^step:8$/, 30000);
    await ask(engine, "ping", /^ms:\d+$/);
  } finally {
    await engine.stop();
    await gateway.close();
  }
});

/** Most variables that `status` may take while it runs, beside those that are held at rest. */
const STATUS_MOST = 120;

test("the console holds few variables while it waits, and gives back what a command took", {
  skip,
}, async (t) => {
  if (variables < FIRMWARE_MOST) return t.skip(`${variables} variables`);
  const sample = 'setInterval(function(){USB.write("use "+process.memory().usage+"\\n")},200)';
  const usage = async (key: string, requests: string[]) => {
    const engine = new Engine({ ...image(key), ".boot0": sample });
    try {
      await delay(2500);
      for (const request of requests) {
        engine.type(request);
        await delay(400);
      }
      engine.lines.length = 0;
      await delay(1500);
      return Math.min(...engine.lines.flatMap((line) => /^use (\d+)$/.exec(line)?.[1] ?? []).map(Number));
    } finally {
      await engine.stop();
    }
  };
  const open = await usage("0123456789abcdef", []);
  const key = newKeys().record.toString("latin1");
  const locked = await usage(key, []);
  const used = await usage(key, [
    "status",
    "help",
    "log",
    "err",
    "id",
    "net",
    "conf",
    "cnt",
    "x",
    "unlock s 1 AAAA",
    "prove AAAA",
    "unlock",
  ]);
  console.log(`at rest: ${open} variables with an open prompt, ${locked} locked, ${used} after requests`);
  assert.ok(locked - open <= MOST && used - open <= MOST);
});

test("`status` runs in few variables", { skip }, async (t) => {
  if (variables < FIRMWARE_MOST) return t.skip(`${variables} variables`);
  // a sample from within, where its frames stand: a ballast would find the peak of an attempt to connect instead
  const sample = 'setInterval(function(){USB.write("use "+process.memory().usage+"\\n")},200)';
  const engine = new Engine({ ...image(newKeys().record.toString("latin1")), ".boot0": sample });
  try {
    await delay(2500);
    engine.lines.length = 0;
    await delay(1500);
    const uses = engine.lines.flatMap((line) => /^use (\d+)$/.exec(line)?.[1] ?? []).map(Number);
    const rest = Math.min(...uses);
    const [, mem] = await ask(engine, "status", /^mem:(\d+)$/);
    await engine.line(/^rev:0$/);
    console.log(`status: ${rest} at rest, ${mem} where it looks`);
    assert.ok(uses.length > 3 && Number(mem) - rest <= STATUS_MOST);
  } finally {
    await engine.stop();
  }
});
