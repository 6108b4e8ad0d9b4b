// The commands of the console on simulated boards: words and lines as they may come, the challenge and its delay over
// restarts, settings over power cuts, and what `status` names after each kind of failure.
import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { after, type TestContext, test } from "node:test";
import { board } from "../../boards/esp32-sim";
import { cutStates } from "../../hal/simulator/nor_flash";
import { settingsFile, settingsPlace } from "../../scripts/lib/bench/settings_file";
import { challengeAnswer, decodeBase32, ROLES } from "../../scripts/lib/console/challenge";
import type { TestDevice } from "../../scripts/lib/test/device";
import {
  ask,
  askObject,
  bootFactory,
  bootLocked,
  CONF,
  type Keys,
  newKeys,
  PASSPHRASE,
  settled,
  startWith,
  unlock,
} from "../../scripts/lib/test/factory";
import { startPlainServer, startScriptedServer } from "../../scripts/lib/test/scripted_server";
import { SLOTS_FILE } from "../ota/manifest";
import { AT_KEYS } from "../ota/slot";
import { SETTINGS_LIMIT, SETTINGS_PLACE } from "../profile";
import {
  ANSWER_WRONG,
  FLASH_FAILED,
  FLASH_FULL,
  LOCKED,
  NAME_UNKNOWN,
  NO_NETWORK,
  NO_SERVER,
  REQUEST_UNKNOWN,
  VALUE_REFUSED,
  WAIT,
} from "../tls/alert";

const BOARD = "esp32-sim";
const WORDS =
  "status net cnt id update err log conf unlock lock selftest ping hs json prove factory reboot help".split(
    " ",
  );

const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});
const kept = (device: TestDevice): TestDevice => {
  devices.push(device);
  return device;
};
const locked = async (keys: Keys, files = {}) => kept(await bootLocked(BOARD, keys, files));
const refusal = (code: number) => ({ err: code });

/** Start a server that takes the connection and says nothing: the session neither comes nor fails. Gives its port. */
async function silentServer(t: TestContext): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Type and give the lines that came, echo and all. */
async function typed(device: TestDevice, bytes: string): Promise<string[]> {
  device.lines = [];
  device.machine.type(bytes);
  await settled();
  return device.lines;
}

test("help is the table; every unique prefix is its word, every other is refused", async () => {
  const device = await locked(newKeys());
  assert.deepEqual(await askObject(device, "help"), { help: WORDS.join(" ") });
  const answerOf = async (word: string) =>
    (await ask(device, `${word} x`)).replace(/"(mem|up|wait|nonce|n|boots|fail|err|at|step)":[^,}]*/g, "");
  for (const word of WORDS) {
    if (/^(log|hs|ping|unlock|json|reboot|factory|status|err|selftest)$/.test(word)) continue;
    const whole = await answerOf(word);
    for (let length = 1; length < word.length; length++) {
      const prefix = word.slice(0, length);
      const isUnique = WORDS.filter((each) => each.startsWith(prefix)).length === 1;
      const answer = await ask(device, prefix);
      if (!isUnique) assert.equal(answer, JSON.stringify(refusal(REQUEST_UNKNOWN)), prefix);
      else assert.equal(await answerOf(prefix), whole, prefix);
    }
  }
  for (const other of ["statusx", "STATUS", "helpp", "rebootx", ".", "zz"])
    assert.deepEqual(await askObject(device, other), refusal(REQUEST_UNKNOWN), other);
});

test("lines end with CR, LF or CRLF; backspace and DEL take back; 80 bytes go, 81 do not", async () => {
  const device = await locked(newKeys());
  for (const end of ["\r", "\n", "\r\n"]) {
    assert.deepEqual(await typed(device, `lock${end}`), ["lock", "E0"], JSON.stringify(end));
    assert.deepEqual(await typed(device, `lock${end}lock${end}`), ["lock", "E0", "lock", "E0"]);
  }
  for (const back of ["\b", "\x7f"])
    assert.equal((await typed(device, `x${back}${back}lok${back}ck\n`)).at(-1), "E0");
  assert.equal((await typed(device, "\x03l\x1bo\x00c\x07k\r\n")).at(-1), "E0");
  const long = (length: number) => `lock ${"x".repeat(length - 5)}`;
  assert.equal((await typed(device, `${long(80)}\n`)).at(-1), "E0");
  assert.equal((await typed(device, `${long(81)}\n`)).at(-1), `E${REQUEST_UNKNOWN}`);
  assert.equal((await typed(device, `${long(81)}\b\b\b\n`)).at(-1), `E${REQUEST_UNKNOWN}`);
  assert.deepEqual(await typed(device, "\r\n\r\n"), []);
});

test("R25 each answer for machines is an object a line, and tells no key and no password", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  await ask(device, "json on");
  assert.equal(await unlock(device, keys.console), 0);
  let all = "";
  for (const word of WORDS)
    if (!/^(reboot|prove)$/.test(word))
      for (const line of await typed(device, `${word === "json" ? "json on" : word}\n`)) {
        assert.equal(typeof JSON.parse(line), "object", line);
        all += line;
      }
  assert.ok(all.length > 400 && !all.includes(PASSPHRASE));
  for (const key of keys.all) assert.ok(!all.includes(key.toString("latin1")));
  assert.equal((await askObject(device, "conf get")).pass, 1);
  device.machine.runtime.powerOff();
});

test("R26 three tries, then a delay that doubles and survives a restart; a right answer ends it", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const { machine } = device;
  const wrong = () => unlock(device, newKeys().console);
  assert.deepEqual(await askObject(device, "unlock s 5 0000-0000-0000"), refusal(ANSWER_WRONG));
  assert.equal((await askObject(device, "cnt")).tries, 0, "no nonce, no try");
  for (let i = 1; i <= 3; i++) {
    assert.equal(await wrong(), ANSWER_WRONG);
    assert.equal((await askObject(device, "cnt")).tries, i);
  }
  assert.equal(await unlock(device, keys.console), WAIT, "a right answer waits as well");
  for (let i = 0; i < 2; i++) {
    machine.boot();
    assert.equal((await askObject(device, "cnt")).tries, 3);
    assert.equal(await unlock(device, keys.console), WAIT, "counted from the start");
  }
  const state = Buffer.from(machine.flash.bytes);
  for (const [seconds, code] of [
    [29, WAIT],
    [31, ANSWER_WRONG],
  ]) {
    machine.powerOff();
    machine.flash.load(state);
    machine.boot();
    await machine.later(seconds * 1000);
    assert.equal(await wrong(), code, `${seconds} s`);
  }
  assert.equal((await askObject(device, "cnt")).tries, 4);
  await machine.later(54_000);
  assert.equal(await unlock(device, keys.console), WAIT, "counted from the false answer");
  await machine.later(15_000);
  assert.equal(await unlock(device, keys.console), 0);
  assert.equal((await askObject(device, "cnt")).tries, 0);
});

test("R23 R26 a power cut anywhere in a false answer leaves the try counted or not made", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const { machine } = device;
  const { nonce, boots } = await askObject(device, "unlock");
  const challenge = {
    role: ROLES.service,
    nonce: decodeBase32(String(nonce)) as Buffer,
    boots: Number(boots),
    minutes: 5,
  };
  const before = Buffer.from(machine.flash.bytes);
  machine.cutPower(undefined);
  await ask(device, `unlock s 5 ${challengeAnswer(newKeys().console, challenge)}`);
  const operations = [...machine.flash.operations];
  const seen = new Set<number>();
  for (const { state } of cutStates(before, operations)) {
    await startWith(machine, state);
    seen.add(Number((await askObject(device, "cnt")).tries));
  }
  assert.deepEqual([...seen].sort(), [0, 1]);
});

test("R26 an answer is good for its role, its minutes, its boot and once", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const { nonce, boots } = await askObject(device, "unlock");
  const challenge = {
    role: ROLES.service,
    nonce: decodeBase32(String(nonce)) as Buffer,
    boots: Number(boots),
    minutes: 5,
  };
  const answer = challengeAnswer(keys.console, challenge);
  assert.deepEqual(await askObject(device, `unlock s 5 ${answer.toLowerCase()}`), refusal(0));
  assert.deepEqual(await askObject(device, `unlock s 5 ${answer}`), refusal(ANSWER_WRONG));
  assert.equal((await askObject(device, "status")).lock, 0);
  assert.deepEqual(await askObject(device, "lock"), refusal(0));
  assert.deepEqual(await askObject(device, "conf set port 99"), refusal(LOCKED));
  assert.deepEqual(await askObject(device, "reboot"), refusal(LOCKED));
  // 261 minutes are 5 in a byte, and no more
  const again = await askObject(device, "unlock");
  const other = { ...challenge, nonce: decodeBase32(String(again.nonce)) as Buffer };
  assert.deepEqual(
    await askObject(device, `unlock r 5 ${challengeAnswer(keys.console, other)}`),
    refusal(ANSWER_WRONG),
  );
});

test("conf set: names and values; id is refused", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  assert.deepEqual(await askObject(device, "conf set port 99"), refusal(LOCKED));
  await unlock(device, keys.console);
  for (const wrong of [
    "id v1.a.b",
    "x y",
    "port 0",
    "port 65536",
    "port 080",
    "port 1e3",
    "port",
    "port -1",
    "toString x",
  ])
    assert.deepEqual(await askObject(device, `conf set ${wrong}`), refusal(VALUE_REFUSED), wrong);
  for (const [name, value] of [
    ["host", "broker.example"],
    ["port", 65535],
    ["ssid", 'a "b", c'],
    ["port", 1],
  ] as const) {
    assert.deepEqual(await askObject(device, `conf set ${name} ${value}`), refusal(0));
    assert.equal((await askObject(device, "conf get"))[name], value);
  }
  device.machine.boot();
  const { host, ssid, pass } = await askObject(device, "conf");
  assert.deepEqual({ host, ssid, pass }, { host: "broker.example", ssid: 'a "b", c', pass: 1 });
});

test("conf set pass takes what WPA2 takes, byte for byte: 63 bytes with a space at the end, 64 hex digits", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  await unlock(device, keys.console);
  for (const password of [`${"p w ".repeat(15)}xy `, "0123456789abcdef".repeat(4), "\xc3\xbc8 bytes"]) {
    assert.deepEqual(await askObject(device, `conf set pass ${password}`), refusal(0), password);
    assert.ok(String(device.machine.read("conf")).includes(`"pass":${JSON.stringify(password)}`), password);
  }
});

test("conf set on a device that tries other keys leaves the bench's key version, for the old keys may come back", async () => {
  const keys = newKeys();
  const slots = String((await locked(keys)).machine.read(SLOTS_FILE));
  const other = newKeys();
  const tried = `${other.record.toString("latin1")}\x02\0\0\0`;
  const device = await locked(keys, {
    [SLOTS_FILE]: slots.slice(0, AT_KEYS) + tried + slots.slice(AT_KEYS + tried.length),
  });
  const { id } = JSON.parse(CONF);
  assert.equal((await askObject(device, "conf")).id, id.replace("v1", "v2"));
  await unlock(device, other.console);
  assert.deepEqual(await askObject(device, "conf set port 99"), refusal(0));
  assert.equal((await askObject(device, "conf")).id, id.replace("v1", "v2"));
  const place = String(device.machine.read("conf")).slice(SETTINGS_PLACE, SETTINGS_PLACE + SETTINGS_LIMIT);
  assert.deepEqual(JSON.parse(place), { ...JSON.parse(CONF), port: 99 });
});

test("conf set: all settings together fill a place, and no byte more is taken: flash is not touched", async (t) => {
  const keys = newKeys();
  const settings = { ...JSON.parse(CONF), ssid: "plant", port: await silentServer(t) };
  settings.pass += "x".repeat(SETTINGS_LIMIT - JSON.stringify(settings).length);
  const device = await locked(keys, { conf: settingsFile(board, settings) });
  t.after(() => device.powerOff());
  await unlock(device, keys.console);
  // nothing but the command can write: no failure of the network, no timer
  device.machine.clock.hold();
  device.machine.cutPower(undefined);
  const before = Buffer.from(device.machine.flash.bytes);
  assert.deepEqual(await askObject(device, "conf set ssid plant7"), refusal(VALUE_REFUSED));
  assert.deepEqual(device.machine.flash.operations, []);
  assert.ok(device.machine.flash.bytes.equals(before));
  assert.deepEqual(await askObject(device, "conf set ssid fleet"), refusal(0));
  assert.deepEqual(await askObject(device, "conf"), { ...settings, ssid: "fleet", pass: 1 });
});

for (const name of [BOARD, "mdbt42q-w5500-sim"] as const)
  test(`R23 power fails anywhere while a setting is changed: the old or the new ones, whole, and the next change works, on ${name}`, async () => {
    const keys = newKeys();
    const device = kept(await bootLocked(name, keys));
    const { machine } = device;
    const places = machine.board.settingsLength / SETTINGS_PLACE;
    for (let turn = 0; turn < 3; turn++) {
      await unlock(device, keys.console);
      // at last the file's end is near
      for (let n = 3; turn === 2 && n < places - 1; n++)
        assert.deepEqual(await askObject(device, `conf set port ${1000 + n}`), refusal(0));
      const old = Number((await askObject(device, "conf")).port);
      const before = Buffer.from(machine.flash.bytes);
      machine.cutPower(undefined);
      assert.deepEqual(await askObject(device, `conf set port ${2000 + turn}`), refusal(0));
      const operations = [...machine.flash.operations];
      assert.ok(
        operations.every(({ kind }) => kind === "write"),
        "nothing is erased",
      );
      const seen = new Set<unknown>();
      let nth = 0;
      for (const { state, cut } of cutStates(before, operations)) {
        // the mark is the last operation
        if (nth++ % 5 && cut.operation === 0) continue;
        await startWith(machine, state);
        assert.ok(machine.runtime.storage.isValid, JSON.stringify(cut));
        const conf = await askObject(device, "conf");
        seen.add(conf.port);
        assert.deepEqual({ ...JSON.parse(CONF), pass: 1, port: conf.port }, conf, JSON.stringify(cut));
        if (nth % 7) continue;
        await unlock(device, keys.console);
        const isUsed = !state.equals(before);
        const wanted = turn === 2 && isUsed ? FLASH_FULL : 0;
        assert.deepEqual(await askObject(device, "conf set port 3000"), refusal(wanted), JSON.stringify(cut));
        assert.equal((await askObject(device, "conf")).port, wanted ? conf.port : 3000);
      }
      assert.deepEqual([...seen], [old, 2000 + turn]);
      machine.powerOff();
      machine.flash.load(before);
      machine.boot();
      await unlock(device, keys.console);
      await ask(device, `conf set port ${2000 + turn}`);
    }
  });

test("R29 a setting that flash has no room for, or does not hold, is refused, the old ones stay, and status names it", async (t) => {
  const keys = newKeys();
  // no later failure takes the place of this one
  const port = await silentServer(t);
  const device = await locked(keys, { conf: settingsFile(board, { ...JSON.parse(CONF), port }) });
  t.after(() => device.powerOff());
  const { machine } = device;
  await unlock(device, keys.console);
  const fails = async (code: number) => {
    const { operations, erases } = machine.flash;
    const writes = operations.length;
    assert.deepEqual(await askObject(device, "conf set port 99"), refusal(code));
    const { err, at } = await askObject(device, "status");
    assert.deepEqual({ err, at }, { err: code, at: 10 });
    assert.equal((await askObject(device, "conf")).port, port);
    assert.equal(machine.flash.erases, erases);
    return operations.length - writes;
  };
  // a cell of the place, behind its first unit, that is worn out
  const bytes = machine.flash.bytes;
  const second = bytes.indexOf(settingsPlace({ ...JSON.parse(CONF), port })) + SETTINGS_PLACE;
  const write = machine.flash.write.bind(machine.flash);
  machine.flash.write = (offset, data) => {
    write(offset, data);
    bytes[second + 20] &= ~1;
  };
  await fails(FLASH_FAILED);
  machine.flash.write = write;
  for (let at = 2 * SETTINGS_PLACE; at < machine.board.settingsLength; at += SETTINGS_PLACE)
    machine.run(`require("Storage").write("conf","used",${at})`);
  // the journal's record of the error
  assert.equal(await fails(FLASH_FULL), 1);
});

/** Boot a device, wait until it has failed, and give what status says. */
async function failure(options: { machine?: object; conf?: { port?: number }; keys?: Keys } = {}) {
  const { keys = newKeys(), conf = {}, machine = {} } = options;
  const files = {
    key: keys.record.toString("latin1"),
    conf: JSON.stringify({ ...JSON.parse(CONF), ...conf }),
  };
  const device = kept(await bootFactory(BOARD, files, machine));
  const hasFailed = () => Number(device.machine.value("lastError")) !== 0;
  // where no server is met the board's own time is all that has to pass
  while (!hasFailed())
    await (conf.port ? new Promise((resolve) => setTimeout(resolve, 5)) : device.machine.clock.later(1000));
  const { err, at, fail, step } = await askObject(device, "status");
  assert.ok(Number(fail) >= 1 && Number(step) <= 4);
  const last = await askObject(device, "err");
  assert.deepEqual({ err: last.err, at: last.at }, { err, at });
  device.powerOff();
  return { err, at };
}

test("R29 status alone names cause and step: network, noise, DNS, server", async () => {
  assert.deepEqual(await failure({ machine: { network: { up: false, failures: 100 } } }), {
    err: NO_NETWORK,
    at: 1,
  });
  const noise = await failure({ machine: { noise: "stuck" } });
  assert.ok(Number(noise.err) >= 1 && Number(noise.err) <= 3 && noise.at === 2, JSON.stringify(noise));
  assert.deepEqual(await failure({ machine: { network: { unknownHosts: true } } }), {
    err: NAME_UNKNOWN,
    at: 3,
  });
  assert.deepEqual(await failure({ conf: { port: 1 } }), { err: NO_SERVER, at: 3 });
});

test("R29 status alone names cause and step: suite, key, broker", async () => {
  const keys = newKeys();
  const wrong = await startScriptedServer({ key: () => newKeys().psk });
  try {
    const { err, at } = await failure({ keys, conf: { port: wrong.port } });
    assert.ok([276, 307, 532, 563].includes(Number(err)) && at === 6, JSON.stringify({ err, at }));
  } finally {
    await wrong.stop();
  }
});

/** What a broker with that return code answers: CONNACK, and PINGRESP to a PINGREQ. */
function broker(keys: Keys, returnCode: number) {
  return startScriptedServer({
    key: () => keys.psk,
    onApplicationData(session, data) {
      if (data[0] === 0x10) session.sendData(Buffer.from([0x20, 2, 0, returnCode]));
      if (data.includes(Buffer.from([0xc0, 0]))) session.sendData(Buffer.from([0xd0, 0]));
    },
  });
}

test("R29 status alone names cause and step: no common suite, a broker that refuses", async () => {
  // a fatal handshake_failure instead of a ServerHello
  const refusing = await startPlainServer(() => Buffer.from("15030300020228", "hex"));
  const keys = newKeys();
  const closed = await broker(keys, 5);
  try {
    assert.deepEqual(await failure({ conf: { port: refusing.port } }), { err: 296, at: 4 });
    assert.deepEqual(await failure({ keys, conf: { port: closed.port } }), { err: 21, at: 7 });
  } finally {
    await refusing.stop();
    await closed.stop();
  }
});

test("hs tells each step of a new session, and why none came; ping the time to the answer", async () => {
  const keys = newKeys();
  const server = await broker(keys, 0);
  const conf = JSON.stringify({ ...JSON.parse(CONF), port: server.port });
  const device = await locked(keys, { conf });
  assert.deepEqual(await askObject(device, "ping"), refusal(NO_SERVER));
  while ((await askObject(device, "status")).step !== 8) await settled();
  const { ms } = await askObject(device, "ping");
  assert.ok(Number(ms) >= 0 && Number(ms) < 1000, `${ms} ms`);
  // the session that hs has ended is over at once
  assert.equal((await askObject(device, "hs\nstatus")).step, 0);
  await device.until(() => device.lines.some((line) => /"step":8,"ms"/.test(line)));
  device.lines = [];
  device.machine.type("hs\n");
  await device.until(() => device.lines.some((line) => /"step":8/.test(line)));
  const steps = device.lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    steps.map(({ step }) => step),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  assert.ok(steps.every((each, i) => each.ms >= 0 && (!i || each.ms >= steps[i - 1].ms)));
  assert.equal(device.machine.value("timer"), undefined);
  await server.stop();
  device.lines = [];
  device.machine.type("hs\n");
  await device.until(() => device.lines.some((line) => /"err"/.test(line)));
  assert.deepEqual(JSON.parse(device.lines.at(-1) ?? ""), refusal(NO_SERVER));
  assert.equal(device.lines.length, 4, "three steps, then why there are no more");
});

test("hs in the midst of the broker's answer: that of the session which it ends does not count for the next one", async () => {
  const keys = newKeys();
  const server = await broker(keys, 0);
  const conf = settingsFile(board, { ...JSON.parse(CONF), port: server.port });
  const device = await locked(keys, { conf });
  try {
    // Finished, then CONNACK: it is decrypted, and waits for a turn of its own
    while (device.machine.value("readSequence") !== 2) await new Promise(setImmediate);
    device.machine.type("hs\n");
    let stood: unknown;
    await device.until(() => {
      if (device.lines.includes("step:8")) stood ??= device.machine.value("stands");
      return stood !== undefined;
    });
    assert.ok(stood, device.lines.join(" "));
  } finally {
    await server.stop();
  }
});
