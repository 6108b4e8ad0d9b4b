// The port of a device that holds its keys, on the simulated boards: what it answers, what it does not tell, what it lets
// through, and the wipe (power_cuts.test.ts cuts the power in it).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { decodeBase32, ROLES } from "../../scripts/lib/console/challenge";
import { proofKey } from "../../scripts/lib/keys/kdf";
import { imageLongest } from "../../scripts/lib/ota/layout";
import { SIMULATED_BOARDS, type TestDevice } from "../../scripts/lib/test/device";
import {
  ask,
  askObject,
  bootFactory,
  bootLocked,
  CONF,
  eraseAuthorised,
  isPromptOpen,
  type Keys,
  mac,
  newKeys,
  PASSPHRASE,
  provision,
  readableIn,
  settled,
  unlock,
} from "../../scripts/lib/test/factory";
import { KEYS_BYTES } from "../ota/manifest";
import { LINE_LIMIT } from "../profile";
import { ANSWER_WRONG, LOCKED, NOISE_DEAD, REQUEST_UNKNOWN } from "../tls/alert";

const BOARD = "mdbt42q-w5500-sim";
const UNKNOWN = JSON.stringify({ err: REQUEST_UNKNOWN });

const devices: TestDevice[] = [];
after(() => {
  for (const device of devices) device.powerOff();
});
const kept = (device: TestDevice): TestDevice => {
  devices.push(device);
  return device;
};
const locked = async (keys: Keys, files = {}) => kept(await bootLocked(BOARD, keys, files));

/** What `prove` says. */
function proofLine(keys: Keys, nonce: Buffer, identity = "v1.sensor.0001"): RegExp {
  const bytes = Buffer.concat([
    keys.record.subarray(64),
    ...keys.all.map((key) => mac(proofKey(key), "prove", nonce)),
  ]);
  return new RegExp(`^${identity} \\d+ ${bytes.toString("base64").replace(/[+]/g, "\\+")}$`);
}

for (const board of SIMULATED_BOARDS)
  test(`R25 each key is proved by a challenge, on ${board}`, async () => {
    const keys = newKeys();
    const device = kept(await bootLocked(board, keys));
    assert.equal(isPromptOpen(device), false);
    for (const nonce of [randomBytes(11), randomBytes(11), Buffer.alloc(11)])
      assert.match(await ask(device, `prove ${nonce.toString("base64")}`), proofLine(keys, nonce));
    assert.match(await ask(device, "prove"), proofLine(keys, Buffer.alloc(0)));
    assert.match(await ask(device, "prove\r"), proofLine(keys, Buffer.alloc(0)));
    // a wrong key in any place of the record is another proof
    const other = newKeys();
    assert.doesNotMatch(await ask(device, "prove"), proofLine(other, Buffer.alloc(0)));
  });

test("R12 the longest identity is told whole; without settings, or with broken ones, the port still answers", async () => {
  const keys = newKeys();
  const id = `v1.sensor.${"x".repeat(54)}`;
  const device = await locked(keys, { conf: JSON.stringify({ id, host: "127.0.0.1", port: 1 }) });
  assert.match(await ask(device, "prove"), proofLine(keys, Buffer.alloc(0), id));
  const broken = await locked(keys, { conf: '{"id":' });
  assert.match(await ask(broken, "prove"), proofLine(keys, Buffer.alloc(0), "undefined"));
  assert.equal(await ask(broken, "x"), UNKNOWN);
  assert.equal(isPromptOpen(broken), false);
});

test("R25 nothing that can be sent brings a key or the network's password back", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const said: string[] = [];
  const words = [
    "prove",
    "conf",
    "conf set",
    "unlock",
    "key",
    "test",
    "read",
    "dump()",
    "print(global)",
    "E.dumpStr()",
    "id",
    "trace()",
  ];
  const arguments_ = [
    "",
    "key",
    "conf",
    keys.record.toString("base64").slice(0, 40),
    "=".repeat(50),
    "\0",
    "%s%n",
  ];
  for (const word of words)
    for (const argument of arguments_) said.push(await ask(device, `${word} ${argument}`));
  for (let i = 0; i < 200; i++) said.push(await ask(device, randomBytes(1 + (i % 70)).toString("latin1")));
  const text = said.join("\n");
  for (const key of [...keys.all, Buffer.from(PASSPHRASE)])
    for (const form of ["latin1", "hex", "base64"] as const) {
      const whole = key.toString(form);
      assert.ok(
        !text.includes(whole.slice(0, 10)) && !text.includes(whole.slice(-12, -2)),
        `${form} in ${text}`,
      );
    }
  assert.equal(isPromptOpen(device), false);
  // a base64 of bytes that hold the key at another place would not be seen above
  for (const line of said)
    for (const word of line.split(" "))
      for (const key of keys.all) assert.ok(!Buffer.from(word, "base64").includes(key.subarray(0, 6)));
  // a CMAC under a key tells it to nobody, but none may be given that means something elsewhere
  const { nonce } = await askObject(device, "unlock");
  const bytes = decodeBase32(String(nonce)) as Buffer;
  const wanted = mac(keys.console, "conr", bytes, Buffer.from([0, 0, 1, 5])).subarray(0, 7);
  const proof = Buffer.from((await ask(device, `prove ${bytes.toString("base64")}`)).split(" ")[2], "base64");
  assert.ok(!proof.includes(wanted));
});

test("R27 no byte and no flood from power-on opens the prompt or stops the port", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const nonce = randomBytes(11);
  const alive = async () => {
    assert.equal(isPromptOpen(device), false);
    assert.ok((device.machine.value("line") as string).length <= LINE_LIMIT + 1);
    device.machine.type("\n");
    await settled();
    assert.match(await ask(device, `prove ${nonce.toString("base64")}`), proofLine(keys, nonce));
    assert.equal(device.machine.value("line"), "");
    assert.equal(device.machine.value("input"), "");
  };
  for (const json of ["off", "on"]) {
    await ask(device, `json ${json}`);
    for (let byte = 0; byte < 256; byte++) {
      device.machine.type(String.fromCharCode(byte));
      device.machine.type(String.fromCharCode(byte).repeat(64));
      await settled();
    }
    await alive();
  }
  const floods = [
    "\x03",
    "\x03\n",
    "\x1b\x03\x10\x00",
    "a",
    "\n",
    "prove\n",
    "unlock\n",
    "\r\n\0",
    "\b",
    "a\b",
  ];
  for (const flood of [...floods, "json off\n", "json on\n", "hs\nping\n", "log\nerr\n"]) {
    const piece = flood.repeat(64 / flood.length);
    for (let sent = 0; sent < (/[a-z]{2}/.test(flood) ? 1000 : 20_000); sent += 64)
      device.machine.type(piece);
    await settled();
    // hs and ping answer later, too; their timer's end wakes nobody
    for (let turns = 1000; turns && device.machine.value("timer") !== undefined; turns--) await delay(10);
    assert.equal(device.machine.value("timer"), undefined);
    assert.ok(((device.machine.value("nonce") ?? "") as string).length <= 8);
    await alive();
  }
  for (const code of [
    "global.got=1",
    "E.setConsole(Serial1)",
    "\x10global.got=1",
    "\x03\x03global.got=1",
    "reset()",
  ]) {
    assert.equal(await ask(device, code), UNKNOWN);
    assert.equal(await ask(device, `\n${code}`), UNKNOWN);
  }
  assert.equal(device.machine.run("global.got"), undefined);
  await alive();
});

test("R27 the lock is taken at the next start already, and at each", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  for (let i = 0; i < 3; i++) {
    device.machine.boot();
    assert.equal(isPromptOpen(device), false);
    assert.match(await ask(device, "prove"), proofLine(keys, Buffer.alloc(0)));
  }
});

/** The boards whose Espruino opens a prompt of its own beside the serial one, and which. */
for (const [board, prompt] of [
  ["esp32-sim", "telnet"],
  ["mdbt42q-w5500-sim", "bluetooth"],
] as const)
  test(`R27 what Espruino starts by itself is off from the first start with keys, and at each: ${prompt}, on ${board}`, async () => {
    const blank = kept(await bootFactory(board));
    assert.ok(blank.machine.runtime.openPrompts.has(prompt), "a blank board is as Espruino leaves it");
    const device = kept(await bootLocked(board, newKeys()));
    for (let start = 0; start < 3; start++) {
      assert.deepEqual([...device.machine.runtime.openPrompts], []);
      device.machine.boot();
    }
  });

test("R13 with the radio off the register's fixed course is no noise: NOISE_DEAD, at each start", async () => {
  const network = { up: false, failures: Number.POSITIVE_INFINITY };
  const device = kept(
    await bootFactory("esp32-sim", { key: newKeys().record.toString("latin1") }, { network }),
  );
  for (let start = 0; start < 2; start++) {
    assert.deepEqual(await askObject(device, "selftest"), { err: NOISE_DEAD });
    device.machine.boot();
  }
});

test("a listener that the interpreter removed, out of memory, is there again from the next event on, once", async () => {
  const device = await locked(newKeys());
  const port = device.machine.board.consolePort;
  assert.equal(await ask(device, "x"), UNKNOWN);
  device.machine.run(`${port}.removeAllListeners("data")`);
  // an attempt fails every second or so
  const listens = () => device.machine.run(`!!${port}["#ondata"]`) === true;
  for (let i = 0; i < 400 && !listens(); i++) await delay(50);
  assert.ok(listens());
  assert.equal(await ask(device, "x"), UNKNOWN);
  await settled();
  assert.deepEqual(device.lines, [UNKNOWN]);
});

test("a request comes in pieces of any size", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  await ask(device, "id");
  const nonce = randomBytes(11);
  const request = `prove ${nonce.toString("base64")}\n`;
  for (let size = 1; size <= request.length; size++) {
    device.lines = [];
    for (let i = 0; i < request.length; i += size) device.machine.type(request.slice(i, i + size));
    await device.until(() => device.lines.length > 0);
    assert.match(device.lines.join(), proofLine(keys, nonce), `pieces of ${size}`);
  }
});

test("R18 a prefix, an extension or a mutation of a request is answered shortly, and nothing lasts", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const requests = [
    `prove ${randomBytes(11).toString("base64")}`,
    "unlock s 15 ABCD-EFGH-JKMN",
    "conf set port 8883",
    "factory ABCD",
  ];
  for (const request of requests)
    for (let i = 1; i <= request.length; i++)
      for (const bytes of [
        request.slice(0, i),
        `${request.slice(0, i)}\xff${request.slice(i + 1)}`,
        `${request.slice(i)}x`,
      ]) {
        const answer = await ask(device, bytes);
        assert.ok(answer.length < 160 && answer !== "no answer", `${JSON.stringify(bytes)}: ${answer}`);
      }
  assert.match(await ask(device, "prove"), proofLine(keys, Buffer.alloc(0)));
});

/** What a file holds but for the keys of slots, where it is that of the slots. */
function withoutKeys({ board }: TestDevice["machine"], data = ""): string {
  const { slotBytes } = board;
  if (data.length !== 2 * slotBytes) return data;
  const longest = imageLongest(board);
  const cut = (slot: string) => slot.slice(0, longest) + slot.slice(longest + KEYS_BYTES);
  return cut(data.slice(0, slotBytes)) + cut(data.slice(slotBytes));
}

for (const board of SIMULATED_BOARDS)
  test(`R30 the factory reset leaves no key and no password readable in flash, on ${board}`, async () => {
    const keys = newKeys();
    const older = newKeys();
    const device = kept(await bootLocked(board, keys));
    const { machine } = device;
    // what was replaced is only marked as deleted: it must go as well
    machine.write({ old: older.record.toString("latin1"), conf: CONF });
    machine.write({ old: "new", conf: CONF.replace("test", "home") });
    assert.ok(
      readableIn(machine, older.all) && readableIn(machine, keys.all),
      "the test sees what is in flash",
    );
    // all stays but the places of keys
    const code = [".bootrst", ".fill", ".slots"].map((name) => [
      name,
      withoutKeys(machine, machine.read(name)),
    ]);
    await eraseAuthorised(device, keys.console);
    assert.equal(readableIn(machine, [...keys.all, ...older.all, Buffer.from(PASSPHRASE)]), undefined);
    assert.deepEqual(
      Object.entries(machine.files).map(([name, data]) => [name, withoutKeys(machine, data)]),
      code,
    );
    assert.equal(isPromptOpen(device), true);
    assert.equal(machine.flash.refusedBits, 0);
    assert.ok(machine.runtime.storage.isValid);
    // blank means blank: it takes keys again
    machine.write({ conf: CONF });
    assert.equal(await provision(device, `key ${older.record.toString("base64")}`), "E0");
    machine.boot();
    assert.match(await ask(device, "prove"), proofLine(older, Buffer.alloc(0)));
  });

test("R30 R26 the factory reset wants the console key's answer for that role, and its code", async () => {
  const keys = newKeys();
  const device = await locked(keys);
  const refused = async (request: string, code: number) =>
    assert.deepEqual(await askObject(device, request), { err: code }, request);
  await refused("factory", LOCKED);
  await refused("factory 0000", LOCKED);
  assert.equal(await unlock(device, keys.console, ROLES.service), 0);
  await refused("factory", LOCKED);
  assert.equal(await unlock(device, newKeys().console, ROLES.reset), ANSWER_WRONG);
  await refused("factory", LOCKED);
  assert.equal(await unlock(device, keys.console, ROLES.reset), 0);
  // no code was asked for; a code is good for one try
  await refused("factory 0000", ANSWER_WRONG);
  const { code } = await askObject(device, "factory");
  assert.match(String(code), /^[0-9A-HJKMNP-TV-Z]{4}$/);
  await refused(`factory ${code}0`, ANSWER_WRONG);
  await refused(`factory ${code}`, ANSWER_WRONG);
  const stale = (await askObject(device, "factory")).code;
  const next = (await askObject(device, "factory")).code;
  if (stale !== next) await refused(`factory ${stale}`, ANSWER_WRONG);
  assert.deepEqual(await askObject(device, "lock"), { err: 0 });
  await refused("factory", LOCKED);
  assert.equal(device.machine.read("key"), keys.record.toString("latin1"));
  await eraseAuthorised(device, keys.console);
  assert.equal(device.machine.read("key"), undefined);
});

test("R13 R30 without noise, and with the radio off, there are challenges all the same: none comes twice, and no old answer is good", async () => {
  const keys = newKeys();
  const network = { up: false, failures: Number.POSITIVE_INFINITY };
  const device = kept(
    await bootFactory("esp32-sim", { key: keys.record.toString("latin1") }, { network, noise: "stuck" }),
  );
  const { machine } = device;
  const seen = new Set<unknown>();
  for (let life = 0; life < 3; life++) {
    for (let start = 0; start < 3; start++) {
      for (let i = 0; i < 4; i++) seen.add((await askObject(device, "unlock")).nonce);
      machine.boot();
    }
    await eraseAuthorised(device, keys.console);
    machine.write({ conf: CONF });
    // the same keys again
    assert.equal(await provision(device, `key ${keys.record.toString("base64")}`), "E0");
    machine.boot();
    assert.equal(await ask(device, "unlock r 5 0000-0000-0000"), JSON.stringify({ err: ANSWER_WRONG }));
  }
  assert.equal(seen.size, 36);
});
