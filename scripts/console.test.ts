// The technician's terminal as people and scripts run it, against the real bundle on a simulated board: what it says for
// each failure of a device, unlocking with and without the master, a pipe, a terminal, the plug pulled, bad input.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Pty } from "./lib/bench/pty";
import { challengeAnswer, decodeBase32 } from "./lib/console/challenge";
import { parseChallenge } from "./lib/console/challenge_text";
import { COMMAND_TEXT } from "./lib/console/command_text";
import { masterFromBytes } from "./lib/custody/master";
import { writeSecret } from "./lib/files/private_file";
import { startGateway } from "./lib/gateway/gateway";
import { newMasters } from "./lib/simulate/finished_device";
import { BOARD, FAILURES, fillSettings, ID, startConsole, type TestConsole } from "./lib/test/console";
import { bundleOf } from "./lib/test/device";
import { PASSPHRASE } from "./lib/test/factory";
import { skipWithout } from "./lib/test/peers/install";
import { nodeArguments } from "./lib/test/program";

const folder = mkdtempSync(join(tmpdir(), "console-"));
after(() => rmSync(folder, { recursive: true }));
const masters = newMasters();
const masterFile = join(folder, "console");
writeSecret(masterFile, masters.console);

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

class Program {
  stdout = "";
  stderr = "";
  readonly ended: Promise<Outcome>;
  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on("data", (chunk) => (this.stdout += chunk));
    child.stderr?.on("data", (chunk) => (this.stderr += chunk));
    this.ended = new Promise((resolve) =>
      child.on("close", (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr })),
    );
  }

  /** Start the terminal; with `typed` at a terminal that script(1) makes. */
  static start(context: TestContext, argv: string[], isTyped = false): Program {
    const command = [process.execPath, ...nodeArguments("scripts/console.ts", ...argv)];
    const [program, ...args] = isTyped
      ? ["script", "-qec", command.map((word) => `'${word}'`).join(" "), "/dev/null"]
      : command;
    const child = spawn(program, args, { env: { ...process.env, PORT: "", TERM: "xterm" } });
    context.after(() => child.kill());
    return new Program(child);
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }
  end(): void {
    this.child.stdin?.end();
  }

  /** Wait until it has said something; gives the text from there on. */
  async said(pattern: RegExp, from = 0): Promise<string> {
    for (let wait = 0; wait < 600; wait++) {
      const text = this.stdout.slice(from);
      const at = text.search(pattern);
      if (at >= 0) return text.slice(at);
      await sleep(25);
    }
    throw new Error(`never said ${pattern}: ${this.stdout.slice(from)}${this.stderr}`);
  }
}

/** Pipe lines through the terminal. */
function pipe(context: TestContext, argv: string[], ...lines: string[]): Promise<Outcome> {
  const program = Program.start(context, argv);
  program.write(lines.map((line) => `${line}\n`).join(""));
  program.end();
  return program.ended;
}

/** Ask `status` until the device has failed. */
async function failedStatus(context: TestContext, device: TestConsole): Promise<string> {
  for (let wait = 0; ; wait++) {
    const { code, stdout, stderr } = await pipe(context, ["--port", device.port], "status");
    assert.equal(code, 0, stderr);
    if (/^err +E[1-9]/m.test(stdout) || wait > 10) return stdout;
    await sleep(200);
  }
}

before(() => bundleOf(BOARD, "firmware/main.ts"));

describe("each failure in words", { timeout: 1_000_000 }, () => {
  for (const { name, err, step, sentence, setUp } of FAILURES)
    test(`R29 ${name}: E${err} at ${step}`, async (context) => {
      const { options, stop } = await setUp();
      context.after(stop);
      const device = await startConsole(options);
      context.after(device.stop);
      const said = await failedStatus(context, device);
      assert.match(said, new RegExp(`^err +E${err} +${sentence.source}`, "m"));
      assert.match(said, new RegExp(`^at +\\d+ +${step}$`, "m"));
      assert.match(said, new RegExp(`^id +${ID}$`, "m"));
      // and in the log, and where a new session is asked for
      const { stdout } = await pipe(context, ["--port", device.port], "log", "hs");
      assert.match(stdout, new RegExp(`^\\d+ +boot 1 +${step}: E${err} +${sentence.source}`, "m"));
      assert.match(stdout, new RegExp(`^E${err} +${sentence.source}`, "m"));
    });

  test("R29 full flash: E31, said at once, and in the status from then on", async (context) => {
    const device = await startConsole({ masters });
    context.after(device.stop);
    fillSettings(device);
    const argv = ["--port", device.port, "--master", masterFile];
    const { code, stdout, stderr } = await pipe(
      context,
      argv,
      "unlock",
      "conf set host broker.example.net",
      "status",
    );
    assert.equal(code, 1, stdout + stderr);
    assert.match(stdout, /^E31 {2}Flash has no room for it, and nothing is written/m);
    assert.match(stdout, /^err +E31 +Flash has no room for it/m);
    assert.match(stdout, /^at +10 +console$/m);
  });
});

describe("the terminal", { timeout: 1_000_000 }, () => {
  let device: TestConsole;
  let server: Awaited<ReturnType<typeof startGateway>>;
  before(async () => {
    server = await startGateway({ master: masterFromBytes(Buffer.from(masters.psk)) });
    device = await startConsole({ masters, port: server.port });
  });
  after(async () => {
    await device?.stop();
    await server?.close();
  });
  const argv = () => ["--port", device.port];

  test("a pipe: lines in, words or objects out", async (context) => {
    const { code, stdout, stderr } = await pipe(
      context,
      argv(),
      "hs",
      "status",
      "net",
      "id",
      "conf get",
      "log",
      "cnt",
      "err",
      "update",
      "selftest",
      "ping",
      "help",
    );
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^3 {2}TCP +\d+ ms$/m);
    assert.match(stdout, /^8 {2}up +\d+ ms$/m);
    assert.match(stdout, /^step +8 +it is connected, and the broker has accepted it$/m);
    assert.match(stdout, /^ssid +plant-7$/m);
    assert.match(stdout, /^pass +1 +there is one$/m);
    assert.match(stdout, /^board +esp32-sim$/m);
    assert.match(stdout, /^\d+ {2}boot 1 {2}started \(reset cause \d+\)$/m);
    assert.match(stdout, /^sessions +[1-9]/m);
    assert.match(stdout, /^err +E0 +none$/m);
    assert.match(stdout, /^ms +\d+ +milliseconds$/m);
    assert.match(stdout, /^conf set NAME VALUE +Change a setting\. \(unlocked only\)$/m);
    assert.ok(!stdout.includes(PASSPHRASE));
    // every word that the device knows has its text, and no other
    const { help } = JSON.parse((await pipe(context, [...argv(), "--json"], "help")).stdout);
    const described = new Set(Object.keys(COMMAND_TEXT).map((word) => word.split(" ")[0]));
    assert.deepEqual(new Set(help.split(" ").filter((word: string) => word !== "prove")), described);
    const json = await pipe(context, [...argv(), "--json"], "status", "log", "hs");
    const objects = json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(objects[0].id, ID);
    assert.equal(objects[0].errText, "none");
    assert.equal(objects.at(-1).stepText, "up");
    assert.ok(objects.some(({ n }) => n !== undefined));
    // left as people find it
    assert.match(device.board.sent, /\{[^\n]*\}\r\nE0\r\n$/);
  });

  test("R25 unlocking with the master, in both roles; another's master is told apart", async (context) => {
    const withMaster = [...argv(), "--master", masterFile];
    const { code, stdout, stderr } = await pipe(
      context,
      withMaster,
      "conf set ssid plant-8",
      "unlock",
      "conf set ssid plant-8",
      "conf get",
      "conf set ssid B\u00fcro",
      "conf get",
      "factory",
      "lock",
      "unlock reset 5",
      "factory",
      "lock",
    );
    assert.equal(code, 1, stderr);
    const said = stdout.split("\n");
    assert.match(said[0], /^E27 {2}This is a service command/);
    assert.equal(said[1], "unlocked for 60 minutes");
    assert.equal(said[2], "done");
    assert.match(stdout, /^ssid +plant-8$/m);
    assert.match(stdout, /^ssid +B\u00fcro$/m);
    assert.match(
      stdout,
      /^E27 .*\ndone\nunlocked for 5 minutes, with factory reset\ncode +[0-9A-HJKMNP-TV-Z]{4}\ndone\n$/m,
    );
    const foreign = join(folder, "foreign");
    writeSecret(foreign, newMasters().console);
    const wrong = await pipe(context, [...argv(), "--master", foreign], "unlock");
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, /^E29 {2}.* This master is not the one of v1\.meter\.SN0000041\.$/m);
    // a right answer takes the false one back
    await pipe(context, withMaster, "unlock", "lock");
    const text = stdout + stderr + wrong.stdout + device.board.sent;
    for (const key of [...Object.values(device.keys), ...Object.values(masters)])
      for (const form of ["hex", "base64", "latin1"] as const) assert.ok(!text.includes(key.toString(form)));
  });

  test("conf set host says from when it counts, and then it does: hs goes to the new one", async (context) => {
    const withMaster = [...argv(), "--master", masterFile];
    const lines = ["unlock", "conf set port 1", "status", "hs", `conf set port ${server.port}`, "hs", "lock"];
    const { stdout, stderr } = await pipe(context, withMaster, ...lines);
    const effect = "done\nIt counts from the next session; hs begins one now.\n";
    assert.equal(stdout.split(effect).length, 3, stdout + stderr);
    const [, between, after] = stdout.split(effect);
    assert.match(between, /^step +8 /m); // the session that it had goes on
    assert.match(between, /^E6 /m); // nobody listens on port 1
    assert.match(after, /^8 {2}up +\d+ ms$/m);
  });

  test("unlocking without: the challenge in one line, the answer in the next", async (context) => {
    const program = Program.start(context, [...argv(), "--json"]);
    program.write("unlock\n");
    const { id, nonce, boots } = JSON.parse((await program.said(/\{.*\}/)).split("\n")[0]);
    assert.equal(id, ID);
    const bytes = decodeBase32(nonce) as Buffer;
    const answer = challengeAnswer(device.keys.console, { role: "s", nonce: bytes, boots, minutes: 5 });
    program.write(`unlock s 5 ${answer.toLowerCase()}\nstatus\nlock\n`);
    program.end();
    const { code, stdout } = await program.ended;
    assert.equal(code, 0, stdout);
    const [, done, status] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual([done.err, status.lock], [0, 0]);
  });

  test("at a terminal: completion, history, the challenge as text and code, and its answer", {
    skip: skipWithout("script"),
  }, async (context) => {
    const program = Program.start(context, argv(), true);
    await program.said(/^id +v1\.meter\.SN0000041/m);
    program.write("sta");
    await program.said(/> .*sta$/);
    program.write("\t"); // what comes in one piece is taken as pasted
    await program.said(/> .*status$/);
    let from = program.stdout.length;
    program.write("\r");
    await program.said(/lock +1 +locked/, from);
    from = program.stdout.length;
    program.write("\x1b[A\r");
    await program.said(/status[\s\S]*lock +1 +locked/, from);
    from = program.stdout.length;
    program.write("unlock\r");
    const challenge = await program.said(/^UNLOCK .*\r?$/m, from);
    assert.match(program.stdout.slice(from), /[▀▄█]{20}/);
    await program.said(/answer> /, from);
    const { nonce, boots } = parseChallenge(challenge.split("\n")[0]);
    const answer = challengeAnswer(device.keys.console, { role: "s", nonce, boots, minutes: 7 });
    from = program.stdout.length;
    program.write(`unlock s 7 ${answer}\r`);
    await program.said(/done/, from);
    from = program.stdout.length;
    program.write("status\r");
    await program.said(/lock +0 +unlocked/, from);
    program.write("lock\r\x04");
    const { code } = await program.ended;
    assert.equal(code, 0, program.stdout);
  });

  test("bad input is a sentence and exit 2, and nothing of it reaches the device", async (context) => {
    const before = device.board.sent.length;
    for (const [line, sentence] of [
      ["x".repeat(81), /longer than the 80 bytes/],
      ["\u{1f600}".repeat(21), /longer than the 80 bytes/],
      ["conf set pass short", /8 to 63 bytes, or is a key of 64 hex digits; this one has 5/],
      ["status\u0007", /no control characters/],
      ["unlock x", /"x" is no role/],
      ["unlock s 0", /"0" is not a whole number from 1 to 255/],
      ["json off", /sets json itself/],
    ] as const) {
      const { code, stdout, stderr } = await pipe(context, argv(), line);
      assert.deepEqual([code, stdout], [2, ""], line);
      assert.match(stderr, sentence);
    }
    assert.doesNotMatch(device.board.sent.slice(before), /"nonce"|"err":26/);
    const unknown = await pipe(context, argv(), "format c:", "prove", "status");
    assert.equal(unknown.code, 2);
    assert.match(
      unknown.stdout,
      /^E26 {2}The device does not know this request\.\ntext +v1\.meter\.SN0000041 \d+ \S+\nid +v1/,
    );
    const commandLines: [string[], RegExp][] = [
      [[], /--port is missing/],
      [["--port", "nonsense"], /neither the path of a serial port nor tcp/],
      [["--port", "tcp://127.0.0.1:0"], /not a port/],
      [[...argv(), "--master", join(folder, "nothing")], /cannot read/],
      [[...argv(), "--scheme", "kdf"], /are for --master/],
      [[...argv(), "--page", "8081"], /takes no port/],
      [["--page", "0"], /not a port/],
      [[...argv(), "--simulate"], /it has its own/],
      [[...argv(), "status"], /more than this command takes/],
    ];
    for (const [line, sentence] of commandLines) {
      const { code, stdout, stderr } = await pipe(context, line);
      assert.deepEqual([code, stdout], [2, ""], line.join(" "));
      assert.match(stderr, sentence);
      assert.match(stderr, /^console: [^\n]+\n$/);
    }
  });
});

describe("who is there", { timeout: 1_000_000 }, () => {
  test("R29 the plug is pulled: it says so, exit 1", { skip: skipWithout("socat") }, async (context) => {
    const device = await startConsole();
    context.after(device.stop);
    const path = join(folder, "ttyUSB7");
    const pty = await Pty.open(path, device.port.replace("tcp://", "TCP:"));
    context.after(() => pty.close());
    const program = Program.start(context, ["--port", path]);
    program.write("id\n");
    await program.said(/^board/m);
    await pty.close();
    const { code, stderr } = await program.ended;
    assert.deepEqual([code, stderr], [1, `console: ${path}: the device was unplugged.\n`]);
  });

  test("R30 a device that restarts is found again; one that is wiped is blank", async (context) => {
    const device = await startConsole({ masters });
    context.after(device.stop);
    const argv = ["--port", device.port, "--master", masterFile];
    const { code, stdout, stderr } = await pipe(context, argv, "unlock", "reboot", "id");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^unlocked for 60 minutes\ndone\nid /);
    assert.match(stdout, /^boots +2 /m);
    const program = Program.start(context, argv);
    program.write("unlock r 5\nfactory\n");
    const wipe = /^code +(\w{4})$/m.exec(await program.said(/^code +\w{4}\n/m))?.[1];
    const from = program.stdout.length;
    program.write(`factory ${wipe}\n`);
    await program.said(/^done$/m, from);
    program.write("status\n");
    program.end();
    const end = await program.ended;
    assert.equal(end.code, 1);
    assert.match(end.stderr, /the interpreter's prompt answers: the device holds no keys yet/);
  });

  test("--simulate: a device of one's own, at which the master is at hand", async (context) => {
    const { code, stdout, stderr } = await pipe(
      context,
      ["--simulate"],
      "hs",
      "unlock",
      "conf set ssid x",
      "status",
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^8 {2}up .*\nunlocked for 60 minutes\ndone\n.*\nid +v1\.demo\.SN0000001$/m);
  });

  // Lines have no checksum: a damaged letter within a text is shown as it came.
  test("R29 over a bad line it goes on: most answers come whole, and every one is an object", async (context) => {
    const device = await startConsole();
    context.after(device.stop);
    const lines = Array.from({ length: 25 }, (_, i) => (i % 2 ? "id" : "net"));
    const clean = await pipe(context, ["--port", device.port, "--json"], ...lines.slice(0, 2));
    const whole = clean.stdout.trim().split("\n");
    assert.equal(whole.length, 2, clean.stdout);
    device.board.faults = { noiseEvery: 700, noiseSeed: 7 };
    const { stdout, stderr } = await pipe(context, ["--port", device.port, "--json"], ...lines);
    const answers = stdout.trim().split("\n");
    assert.ok(answers.filter((answer) => whole.includes(answer)).length > lines.length / 2, stdout + stderr);
    for (const answer of answers) assert.equal(typeof JSON.parse(answer), "object", answer);
  });

  test("a blank device, a dead one, and nothing at all are told apart", async (context) => {
    const blank = await startConsole({ files: { key: "\xff".repeat(76) } });
    context.after(blank.stop);
    const atPrompt = await pipe(context, ["--port", blank.port], "status");
    assert.equal(atPrompt.code, 1);
    assert.match(atPrompt.stderr, /the interpreter's prompt answers: the device holds no keys yet/);
    const dead = await startConsole();
    dead.board.faults = { silent: true };
    context.after(dead.stop);
    const silent = await pipe(context, ["--port", dead.port], "status");
    assert.equal(silent.code, 1);
    assert.match(silent.stderr, /nothing answers: check cable, power and port/);
    writeFileSync(join(folder, "file"), "");
    for (const port of ["tcp://127.0.0.1:1", join(folder, "file"), join(folder, "none")]) {
      const { code, stdout, stderr } = await pipe(context, ["--port", port], "status");
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^console: [^\n]+\.\n$/);
    }
  });
});
