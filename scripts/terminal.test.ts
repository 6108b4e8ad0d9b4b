// Every command that asks for a passphrase, at a pseudo-terminal: a slip is asked again, what is typed is shown nowhere, CR LF
// ends one line, and what comes behind the passphrase has the keyboard: scan field, console, questions. `keys new` and
// `keys factory-key`, which ask for new ones, are in keys.test.ts.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Board } from "../boards/board";
import { LINE_RATE } from "./lib/bench/port";
import { benchSettings } from "./lib/bench/settings_file";
import { encodeBase32 } from "./lib/console/challenge";
import { makeBatch } from "./lib/custody/batch";
import { masterFromBytes } from "./lib/custody/master";
import {
  makeFactoryKey,
  readFactoryPublicKey,
  sealFactoryKey,
  sealWithPassphrase,
} from "./lib/custody/sealed_file";
import { writeSecret } from "./lib/files/private_file";
import { PURPOSES } from "./lib/keys/kdf";
import { openLedger } from "./lib/ledger/ledger";
import { updateFile } from "./lib/ota/update_file";
import { readBoard } from "./lib/project";
import { SimulatedBoard } from "./lib/simulate/simulated_board";
import { BOARD } from "./lib/test/bench";
import { startConsole } from "./lib/test/console";
import { startPlainMosquitto } from "./lib/test/doors";
import { skipWithout } from "./lib/test/peers/install";
import { freePort, listens, waitUntil } from "./lib/test/peers/process";
import { atTerminal, type Step } from "./lib/test/terminal";
import { makeTokens, skipWithoutToken, tokenUri } from "./lib/test/token";
import { testMasters, testUpdate } from "./lib/test/update";

const PHRASE = "clip rust onyx eel mango tidy";
const SLIP = "clip rust onyx eel mango tidz";
const CTRL_C = "\x03";
const folder = mkdtempSync(join(tmpdir(), "terminal-"));
const at = (name: string) => join(folder, name);
const masters = testMasters();

before(async () => {
  for (const purpose of PURPOSES) {
    const contents = {
      holds: "master",
      purpose,
      scheme: "kdf",
      key: masters[purpose].toString("hex"),
    } as const;
    writeFileSync(at(`${purpose}.age`), await sealWithPassphrase(contents, Buffer.from(PHRASE), 10));
  }
  const { privateKey, publicKey } = await makeFactoryKey();
  writeFileSync(at("factory.age"), await sealFactoryKey(privateKey, Buffer.from(PHRASE), 10));
  writeFileSync(at("factory.pub"), `${publicKey}\n`);
  writeFileSync(at("update"), updateFile(testUpdate()));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A slip, then the passphrase; further masters without a slip. */
const asked = (count = 1): Step[] => [
  [/Passphrase of \S+: /, `${SLIP}\r\n`],
  [
    /the passphrase is wrong, or the file was changed\. Once more, or Ctrl-C\.[\s\S]*Passphrase of \S+: /,
    `${PHRASE}\r\n`,
  ],
  ...Array.from({ length: count - 1 }, (): Step => [/Passphrase of \S+: /, `${PHRASE}\r`]),
];

/** Run it, and demand exit 0 and that nothing that was typed as a secret is on the screen. */
async function run(script: string, args: string[], steps: Step[]): Promise<string> {
  const { code, screen } = await atTerminal(script, args, steps);
  assert.equal(code, 0, screen);
  for (const secret of [PHRASE, SLIP]) assert.ok(!screen.includes(secret), screen);
  return screen;
}

describe("R25 a passphrase that is typed", { skip: skipWithout("script") }, () => {
  test("bench: then the scan field has the keyboard; CR LF is one Enter; a scrap asks twice; Ctrl-C ends it", async () => {
    const data = (await readBoard(BOARD)) as unknown as Board;
    const board = new SimulatedBoard({ board: data, chip: "chip-1", lineRate: LINE_RATE * 10 });
    const args = [
      ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:8883", "--ssid", "simulated"],
      ...["--ledger", at("ledger.sqlite"), "--port", await board.start(), "--who", "test"],
      ...PURPOSES.flatMap((purpose) => ["--master", `${purpose}=${at(`${purpose}.age`)}`]),
    ];
    try {
      const screen = await run("bench", args, [
        ...asked(4),
        // typed while the image is made: neither shown nor taken for a scan
        [/making the image/, `${PHRASE}\r`],
        [/waits for a serial/, "SN0000001\r\n"],
        [/SN0000001: Enter starts/, "\r\n"],
        [/SN0000001 PASSED/, "scrap SN0000001 fell down\r\n"],
        [/SN0000001 for ever\? Enter scraps it/, "\x1b"],
        [/scan> \x1b\[0K/, "scrap SN0000001 fell down\r"],
        [/for ever\? Enter scraps it/, "\r\n"],
        [/SN0000001 is scrapped, for ever/, CTRL_C],
      ]);
      assert.ok(!/tidy/.test(screen));
    } finally {
      await board.unplug();
    }
    const ledger = openLedger(at("ledger.sqlite"), "read");
    assert.equal(ledger.unit("meter", "SN0000001")?.state, "scrapped");
    assert.deepEqual(
      [...ledger.entries()].map(({ type }) => type),
      ["begin", "unit", "scrap"],
    );
    ledger.close();
  });

  test("bench --batch: the factory's passphrase, then a unit of the batch passes; Ctrl-C ends it, and the page with who looks at it", async () => {
    const publicKey = readFactoryPublicKey(at("factory.pub"));
    const parts = PURPOSES.map((purpose) => masterFromBytes(Buffer.from(masters[purpose]), purpose));
    const range = { product: "meter", keyVersion: 1, first: "SN0000002", count: 1 };
    const page = await freePort();
    const { bytes, digest } = await makeBatch(range, parts, publicKey);
    writeFileSync(at("whole batch"), bytes);
    const data = (await readBoard(BOARD)) as unknown as Board;
    const board = new SimulatedBoard({ board: data, chip: "chip-3", lineRate: LINE_RATE * 10 });
    const args = [
      ...["--board", BOARD, "--product", "meter", "--server", "127.0.0.1:8883", "--ssid", "simulated"],
      ...["--ledger", at("batch.sqlite"), "--port", await board.start(), "--who", "test"],
      ...["--batch", at("whole batch"), "--digest", digest, "--factory-key", at("factory.age")],
      ...["--page", String(page)],
    ];
    const looked = waitUntil("the page", () => listens(page))
      .then(() => fetch(`http://127.0.0.1:${page}/events`))
      .then((events) => events.text())
      .catch((error) => error.message);
    try {
      await run("bench", args, [
        ...asked(),
        [/waits for a serial/, "SN0000002\r\n"],
        [/SN0000002: Enter starts/, "\r\n"],
        [/SN0000002 PASSED/, CTRL_C],
      ]);
      assert.equal(await looked, "terminated");
    } finally {
      await board.unplug();
    }
  });

  describe("a token's PIN", { skip: skipWithoutToken() }, () => {
    const PIN = "731-onyx";
    before(() => makeTokens(folder, { release: PIN, gateway: PIN }));
    /** Too short, then wrong, then right. */
    const steps: Step[] = [
      [/PIN of the token "\w+": /, "73\r"],
      [/"\w+" does not open: the PIN is [^.]*\. Once more, or Ctrl-C\.[\s\S]*PIN of .*: /, "731-onyy\r\n"],
      [/"\w+" does not open: the PIN is wrong\. Once more, or Ctrl-C\.[\s\S]*PIN of .*: /, `${PIN}\r\n`],
    ];
    const typed = async (script: string, args: string[], more: Step[] = []) => {
      const { code, screen } = await atTerminal(script, args, [...steps, ...more]);
      assert.equal(code, 0, screen);
      assert.ok(!screen.includes("731"), screen);
      return screen;
    };

    test("keys generate makes a master there, and keys check finds it", async () => {
      const generate = ["generate", "--purpose", "psk", "--token", tokenUri("release", "psk")];
      const made = await typed("keys", generate);
      const [, checkValue] = /check value ([0-9A-F]{6})/.exec(made) ?? assert.fail(made);
      const checked = await typed("keys", ["check", "--master", tokenUri("release", "psk")]);
      assert.ok(checked.includes(checkValue), checked);
    });

    test("gateway: then it serves", async () => {
      const generate = ["generate", "--purpose", "psk", "--token", tokenUri("gateway", "psk")];
      await typed("keys", generate);
      const listen = `127.0.0.1:${await freePort()}`;
      const args = ["--master", tokenUri("gateway", "psk"), "--listen", listen];
      await typed("gateway", args, [[/listens on 127\.0\.0\.1:\d+/, CTRL_C]]);
    });
  });

  test("tunnel: then it serves, and Ctrl-C ends it", async () => {
    writeFileSync(at("devices"), "v1.meter.SN1\n");
    const [listen, udp] = [await freePort(), await freePort()];
    const args = [
      ...["--master", at("psk.age"), "--devices", at("devices"), "--counters", at("numbers.sqlite")],
      ...["--listen", `127.0.0.1:${listen}`, "--udp", `127.0.0.1:${udp}`, "--to", "127.0.0.1:9"],
    ];
    await run("tunnel", args, [...asked(), [/lets in 1 devices/, CTRL_C]]);
  });

  test("tickets: then they are given, and Ctrl-C ends it", { skip: skipWithout("mosquitto") }, async (t) => {
    const broker = await startPlainMosquitto();
    t.after(() => broker.stop());
    const args = ["--master", at("psk.age"), "--broker", `127.0.0.1:${broker.port}`];
    await run("tickets", args, [...asked(), [/tickets are given/, CTRL_C]]);
  });

  test("console: then the device's console", async () => {
    const device = await startConsole();
    try {
      const screen = await run(
        "console",
        ["--port", device.port, "--master", at("console.age")],
        [...asked(), [/> /, "exit\r"]],
      );
      assert.match(screen, /v1\.meter\.SN0000041/);
    } finally {
      await device.stop();
    }
  });

  test("setup: a password that is none is asked for again; one of 63 bytes with spaces at its ends lies on the board", async () => {
    const data = (await readBoard(BOARD)) as unknown as Board;
    const board = new SimulatedBoard({ board: data, chip: "chip-2", lineRate: LINE_RATE * 10 });
    const password = ` ${"tidy ".repeat(12)} `.slice(0, 62).padEnd(63);
    const args = [
      ...["--port", await board.start(), "--ssid", "home", "--server", "127.0.0.1:1"],
      ...["--keys", at("keys"), "--board", BOARD, "--without-extended-master-secret"],
    ];
    try {
      const { code, screen } = await atTerminal("setup", args, [
        [/Password of the network home: /, "tidy\r\n"],
        [/has 4 characters, [\s\S]*Once more, or Ctrl-C\.[\s\S]*Password of .*: /, `${password}\r\n`],
      ]);
      assert.equal(code, 0, screen);
      assert.match(screen, /v1\.demo\.SN0000001: done/);
      assert.ok(!screen.includes("tidy"), screen);
      const { pass, ems } = benchSettings(board.machine.read("conf") as string);
      assert.deepEqual([pass, ems], [password, 0]);
    } finally {
      await board.unplug();
    }
  });

  test("unlock: then the challenge", async () => {
    const challenge = `UNLOCK v1.meter.SN0000041 ${encodeBase32(Buffer.alloc(8, 7))} 17`;
    const screen = await run(
      "unlock",
      ["--master", at("console.age")],
      [...asked(), [/Challenge .*: /, `${challenge}\r`], [/Role .*: /, "s\r"], [/Minutes .*: /, "5\r"]],
    );
    assert.match(screen, /unlock s 5 (\w{4}-?){3}/);
  });

  test("gateway: then it serves, and Ctrl-C ends it", async () => {
    const listen = `127.0.0.1:${await freePort()}`;
    await run(
      "gateway",
      ["--master", at("psk.age"), "--listen", listen],
      [...asked(), [/127\.0\.0\.1:\d+/, CTRL_C]],
    );
  });

  test("farm: its ports go with Ctrl-C, and the flash stays", async () => {
    const farm = at("farm");
    await run("farm", ["--boards", "2", "--folder", farm], [[/Ctrl-C ends it/, CTRL_C]]);
    assert.deepEqual(readdirSync(farm).sort(), ["board-1.flash", "board-2.flash"]);
  });

  const once: Record<string, [script: string, args: () => string[], count: number]> = {
    "keys check": ["keys", () => ["check", "--master", at("psk.age")], 1],
    "keys batch": [
      "keys",
      () => [
        ...["batch", "--master", `psk=${at("psk.age")}`, "--master", `console=${at("console.age")}`],
        ...[
          "--product",
          "meter",
          "--first",
          "SN1",
          "--count",
          "2",
          "--for",
          at("factory.pub"),
          "--out",
          at("batch"),
        ],
      ],
      2,
    ],
    "keys export": [
      "keys",
      () => [
        ...["export", "--master", at("psk.age"), "--format", "stunnel", "--product", "meter"],
        ...["--serials", "SN1..SN3", "--out", at("psk.txt")],
      ],
      1,
    ],
    "keys check of a batch": [
      "keys",
      () => ["check", "--batch", at("batch"), "--factory-key", at("factory.age")],
      1,
    ],
    "ota sign": [
      "ota",
      () => [
        ...["sign", "--update", at("update"), "--master", at("ota.age")],
        ...["--serials", "SN1..SN3", "--out", at("manifests")],
      ],
      1,
    ],
    "ota rekey": [
      "ota",
      () => [
        ...["rekey", "--update", at("update"), "--serials", "SN1..SN3", "--to", "2", "--out", at("rekeys")],
        ...["--ota", at("ota.age"), "--rekey", at("rekey.age")],
        ...["--new-psk", at("psk.age"), "--new-console", at("console.age")],
      ],
      4,
    ],
  };
  for (const [name, [script, args, count]] of Object.entries(once))
    test(name, async () => {
      await run(script, args(), asked(count));
    });

  test("in the background of a shell the terminal is left alone: who needs no passphrase is not stopped", async () => {
    writeSecret(at("raw"), masters.psk);
    const check = (place: string) => ["check", "--purpose", "psk", "--master", at(place)];
    const { code, screen } = await atTerminal("keys", check("raw"), [], { inBackground: true });
    assert.equal(code, 0, screen);
    assert.match(screen, /the master psk {2}[0-9A-F]{6}/);
    const asks = await atTerminal("keys", check("psk.age"), [], { inBackground: true });
    assert.equal(asks.code, 2, asks.screen);
    assert.match(asks.screen, /there is no terminal to ask/);
  });

  test("keys import asks for the old one, and for the new one twice", async () => {
    await run(
      "keys",
      ["import", "--master", at("psk.age"), "--out", at("moved.age"), "--work-factor", "14"],
      [
        ...asked(),
        [/New passphrase .*: /, "nobody knows 5 this phrase yet\r\n"],
        [/The same again: /, "nobody knows 5 this phrase yet\r\n"],
      ],
    );
  });
});

describe("lines at a terminal", { skip: skipWithout("script") }, () => {
  for (const columns of [80, 120])
    test(`live view, console, help and errors are not broken by the terminal in ${columns} columns`, async () => {
      const device = await startConsole();
      const shown = async (script: string, args: string[], steps: Step[] = []) => {
        const { screen } = await atTerminal(script, args, steps, { columns });
        // what moves the cursor takes no column
        const lines = screen.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").split(/\r*\n/);
        for (const line of lines)
          assert.ok(line.length <= columns || !line.trim().includes(" "), `${line.length}: ${line}`);
        return lines.filter((line) => line.length > columns - 12).length;
      };
      try {
        const console = await shown(
          "console",
          ["--port", device.port],
          [
            [/E6[\s\S]*> /, "help\r"],
            [/exit[\s\S]*> /, "conf set ems 0\r"],
            [/console\.[\s\S]*> /, "exit\r"],
          ],
        );
        await shown("bench", ["--operation", "none", "--board", "esp32"]);
        const views = [await shown("start", ["--once"]), await shown("bench", ["--help"])];
        // and the width is made use of
        assert.ok(console > 0 && views.every((filled) => filled > 0), `${console} ${views}`);
      } finally {
        await device.stop();
      }
    });
});
