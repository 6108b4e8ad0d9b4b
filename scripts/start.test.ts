// The main job end to end, as people run it: the command, its output, its exit code. The built bundle on the simulated
// boards against our gateway and against servers that are not ours; bad command lines; servers that are not there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey, keyCheckValue } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "start-"));
after(() => rmSync(folder, { recursive: true }));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Run a command of scripts/ to its end; `onOutput` sees its output so far and may end it with a signal. */
function run(
  command: string,
  argv: string[],
  onOutput?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, nodeArguments(`scripts/${command}.ts`, ...argv));
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      onOutput?.(stdout, (signal) => child.kill(signal));
    });
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

function keyFile(name: string, key: Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, key, { mode: 0o600 });
  return path;
}

/** A server on 127.0.0.1 that does what it is told with each connection. */
async function server(onConnection: (socket: Socket) => void): Promise<{ endpoint: string; close(): void }> {
  const sockets = new Set<Socket>();
  const listening = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `127.0.0.1:${(listening.address() as AddressInfo).port}`,
    close() {
      for (const socket of sockets) socket.destroy();
      listening.close();
    },
  };
}

describe("npm start -- --ota", { timeout: 1_000_000 }, () => {
  test("R23 an update, the power cut in its middle, confirmed; a bad image that is left again; exit 0", async () => {
    const { code, stdout, stderr } = await run("start", ["--ota", "--timeout", "60"]);
    assert.equal(code, 0, stdout + stderr);
    const shown = [
      /hears: on line, runs sequence 1\n/,
      /version 1\.1\.0 is offered: \d+ bytes in (\d+) pieces/,
      /the power is cut at piece \d+ of \d+/,
      /power +off[\s\S]*power +on/,
      /hears: on line, runs sequence 2\n/,
      /version 1\.1\.0 runs; after the cut \d+ pieces were fetched, not all of them again/,
      /version 1\.2\.0 is offered, which never calls home/,
      /version 1\.2\.0 was started 3 times and nothing came/,
      /hears: on line, runs sequence 2, left an update for E34/,
      /version 1\.1\.0 is back: E34, The new image was started as often/,
    ];
    let at = 0;
    for (const pattern of shown) {
      const found = stdout.slice(at).search(pattern);
      assert.ok(found >= 0, `${pattern} in\n${stdout.slice(at)}`);
      at += found;
    }
  });

  test("what it brings along itself is refused beside it", async () => {
    for (const [args, sentence] of [
      [["--once"], /--once is not for it/],
      [["--server", "127.0.0.1:1", "--key-file", "x"], /--server is not for it/],
      [["--set", "KEEP_ALIVE_S=9"], /--set is not for it/],
    ] as const) {
      const { code, stderr } = await run("start", ["--ota", ...args]);
      assert.equal(code, 2);
      assert.match(stderr, sentence);
    }
  });
});

describe("npm start -- --once", { concurrency: 2 }, () => {
  for (const board of ["esp32-sim", "esp32-idf4-sim", "mdbt42q-w5500-sim"]) {
    test(`${board}: an exchange with our gateway, shown, exit 0`, async () => {
      const { code, stdout, stderr } = await run("start", ["--once", "--board", board]);
      assert.equal(code, 0, stdout + stderr);
      assert.equal(stderr, "");
      for (const shown of [
        /bundle +[\d,]+ of 16,176 bytes/,
        /noise +healthy; [\d,]+ bits read/,
        /--> +ClientHello, \d+ bytes/,
        /<-- +ServerHello, \d+ bytes/,
        /<-- +ServerHelloDone/,
        /--> +ClientKeyExchange[\s\S]*identity "v1\.demo\.SN0000001"/,
        /--> +Finished, \d+ bytes encrypted/,
        /<-- +Finished, \d+ bytes encrypted/,
        /secured +TLS_PSK_WITH_AES_128_CCM_8/,
        /extensions agreed: .*extended_master_secret/,
        /telemetry +demo\/SN0000001\/up\/status \{"up":/,
        /command +demo\/SN0000001\/down\/valve open/,
        /answer +demo\/SN0000001\/up\/valve open/,
      ]) {
        assert.match(stdout, shown);
      }
    });
  }

  test("R25 --json: every line an object, and no key in any", async () => {
    const master = randomKey();
    const identity = "v3.meter.SN77";
    const key = deriveDeviceKey(master, parseIdentity(identity));
    const { code, stdout } = await run("start", [
      "--once",
      "--json",
      "--identity",
      identity,
      "--master",
      keyFile("master", master),
    ]);
    assert.equal(code, 0);
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(events.find(({ kind }) => kind === "device").checkValue, keyCheckValue(key));
    assert.ok(events.some(({ kind, payload }) => kind === "answer" && payload === "open"));
    for (const secret of [key, master]) assert.ok(!stdout.toLowerCase().includes(secret.toString("hex")));
  });

  test("a key that the gateway does not derive: the alert as a sentence, exit 1", async () => {
    const { code, stdout, stderr } = await run("start", [
      "--once",
      "--timeout",
      "3",
      "--key-file",
      keyFile("wrong", randomKey()),
    ]);
    assert.equal(code, 1);
    assert.match(stdout, /E276 +The server sent alert 20 \(bad_record_mac\)/);
    assert.match(stdout, /the gateway refused 127\.0\.0\.1:\d+/);
    assert.match(stderr, /^start: no exchange in 3 seconds; the last error was E276: .+\n$/);
  });

  for (const [model, code] of [
    ["stuck", "E1"],
    ["biased", "E[12]"],
    ["dead", "E[13]"],
  ]) {
    test(`R13 noise that is ${model}: no handshake, ${code}, exit 1`, async () => {
      const { code: exit, stdout } = await run("start", ["--once", "--timeout", "2", "--noise", model]);
      assert.equal(exit, 1);
      assert.match(stdout, new RegExp(`^ +[\\d.]+ +${code} `, "m"));
      assert.doesNotMatch(stdout, /ClientHello/);
    });
  }
});

describe("npm start -- --server", { concurrency: 2 }, () => {
  const key = keyFile("key", randomKey());

  test("nothing listens there: E6 as a sentence, tried again, exit 1 with --once", async () => {
    const gone = await server(() => {});
    gone.close();
    const { code, stdout, stderr } = await run("start", [
      "--once",
      "--timeout",
      "6",
      "--server",
      gone.endpoint,
      "--key-file",
      key,
    ]);
    assert.equal(code, 1);
    assert.ok(stdout.match(/E6 +The server cannot be reached/g)?.length ?? 0 > 1, stdout);
    assert.match(stderr, /the last error was E6/);
  });

  test("another protocol: an alert as a sentence", async () => {
    const http = await server((socket) =>
      socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    );
    const { code, stdout } = await run("start", [
      "--once",
      "--timeout",
      "3",
      "--server",
      http.endpoint,
      "--key-file",
      key,
    ]);
    http.close();
    assert.equal(code, 1);
    assert.match(stdout, /<-- +not TLS/);
    assert.match(stdout, /^ +[\d.]+ +E\d+ +The device ended the connection with alert \d+/m);
  });

  test("closed at once: E8 as a sentence", async () => {
    const closing = await server((socket) => socket.end());
    const { code, stdout } = await run("start", [
      "--once",
      "--timeout",
      "3",
      "--server",
      closing.endpoint,
      "--key-file",
      key,
    ]);
    closing.close();
    assert.equal(code, 1);
    assert.match(stdout, /E8 +TCP was closed/);
  });

  test("Ctrl-C ends a run without --once with exit 0", async () => {
    let pressed = false;
    const { code, stdout } = await run("start", [], (output, kill) => {
      if (!output.includes("answer") || pressed) return;
      pressed = true; // once: a second Ctrl-C does not wait
      kill("SIGINT");
    });
    assert.equal(code, 0);
    assert.match(stdout, /power +off/);
  });
});

describe("bad command lines: a sentence on stderr, exit 2, nothing on stdout", { concurrency: 2 }, () => {
  const key = keyFile("good", randomKey());
  const cases: Record<string, string[]> = {
    "no such option": ["start", "--nonsense"],
    "an argument too many": ["start", "hello"],
    "no port": ["start", "--server", "127.0.0.1", "--key-file", key],
    "port 0": ["start", "--server", "127.0.0.1:0", "--key-file", key],
    "port 65536": ["start", "--server", "127.0.0.1:65536", "--key-file", key],
    "port with letters": ["start", "--server", "127.0.0.1:80a", "--key-file", key],
    "negative port": ["start", "--server", "127.0.0.1:-1", "--key-file", key],
    "no host": ["start", "--server", ":443", "--key-file", key],
    "an impossible address": ["start", "--server", "300.1.2.3:443", "--key-file", key],
    "a host with a space": ["start", "--server", "my host:443", "--key-file", key],
    "a server without a key": ["start", "--server", "127.0.0.1:8883"],
    "a key file that is not there": ["start", "--key-file", join(folder, "absent")],
    "a weak key": ["start", "--key-file", keyFile("weak", Buffer.alloc(16))],
    "a short key": ["start", "--key-file", keyFile("short", randomKey().subarray(3))],
    "an identity with a colon": ["start", "--identity", "v1.a:b.c"],
    "an identity of 65 characters": ["start", "--identity", `v1.m.${"S".repeat(60)}`],
    "an identity of another form": ["start", "--identity", "dev0"],
    "an identity with UTF-8": ["start", "--identity", "v1.mètre.1"],
    "a board that is none": ["start", "--board", "esp99"],
    "a setting that is none": ["start", "--set", "colour=red"],
    "a setting of another kind": ["start", "--set", "requireEncryptThenMac=maybe"],
    "a timeout of zero": ["start", "--once", "--timeout", "0"],
    "a timeout without --once": ["start", "--timeout", "5"],
    "a scheme that is none": ["start", "--scheme", "rot13"],
    "a serial that the scheme cannot hold": [
      "start",
      "--scheme",
      "aes-serial",
      "--identity",
      "v1.m.SN345678901234567",
    ],
    "a noise model that is none": ["start", "--noise", "pink"],
    "a gateway without a master": ["gateway"],
    "a gateway with a weak master": [
      "gateway",
      "--master",
      keyFile("weak2", Buffer.from("000102030405060708090a0b0c0d0e0f", "hex")),
    ],
    "a gateway on an address of another machine": ["gateway", "--master", key, "--listen", "192.0.2.1:8883"],
    "a list of denied identities that are none": [
      "gateway",
      "--master",
      key,
      "--list",
      keyFile("revoked", Buffer.from("who?\n")),
    ],
    "a derived key over another": ["derive", "--out", folder, "--master", key],
  };
  writeFileSync(join(folder, "conf"), "{}");
  for (const [name, [command, ...argv]] of Object.entries(cases)) {
    test(name, async () => {
      const { code, stdout, stderr } = await run(command, argv);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^${command}: .+\\n$`));
    });
  }
});

test("--help of every command is made from its table, exit 0", async () => {
  for (const command of ["start", "gateway", "derive", "explain"]) {
    const { code, stdout, stderr } = await run(command, ["--help"]);
    assert.equal(code, 0);
    assert.equal(stderr, "");
    assert.match(stdout, /^usage: npm [\s\S]*--json[\s\S]*--help/);
  }
});

test("derive makes what the board and the gateway take, and prints no key", async () => {
  const out = join(folder, "device");
  const made = await run("derive", ["--out", out, "--identity", "v1.meter.SN5"]);
  assert.equal(made.code, 0, made.stderr);
  const key = readFileSync(join(out, "key"));
  for (const secret of [key, readFileSync(join(out, "master"))])
    assert.ok(!made.stdout.includes(secret.toString("hex")));
  assert.ok(made.stdout.includes(keyCheckValue(key)));
  const files = ["--master", join(out, "master"), "--key-file", join(out, "key")];
  const { code, stdout } = await run("start", ["--once", "--identity", "v1.meter.SN5", ...files]);
  assert.equal(code, 0, stdout);
});
