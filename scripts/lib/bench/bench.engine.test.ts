// The bench against the real interpreter, named by ESPRUINO_BIN: on a pseudo-terminal from blank to finished and locked;
// over its telnet console as far as that goes, which is until the firmware takes the console away from it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Board } from "../../../boards/board";
import { REQUEST_UNKNOWN } from "../../../firmware/tls/alert";
import { readBoard } from "../bundle/build";
import { SimulatedBoard } from "../simulate/simulated_board";
import { imageOf, TestBench } from "../test/bench";
import { ENGINE, engineCommand } from "../test/engine";
import { skipWithout } from "../test/peers/install";
import { Device } from "./device";
import { STEPS } from "./interfaces";
import { Port } from "./port";
import { ask, findPrompt, readFlash, writeFlash } from "./prompt";
import { Pty } from "./pty";

const board = (await readBoard("linux")) as unknown as Board;
const skip = ENGINE ? skipWithout("socat") : "ESPRUINO_BIN names no interpreter";

describe("the real interpreter", { skip }, () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "engine-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("on a pseudo-terminal goes from blank to finished; rows 25 and 27: locked, and no key read back", async () => {
    const path = join(folder, "ttyACM0");
    const pty = await Pty.run(path, engineCommand(), folder);
    const bench = await TestBench.start([], {
      board,
      ports: [path],
      settings: { host: "127.0.0.1", port: 1, ssid: "", pass: "" },
    });
    try {
      await bench.ready();
      const result = await bench.run("SN0000001");
      assert.equal(result.result, "pass", bench.states());
      assert.deepEqual(
        bench.steps.map(({ step }) => step),
        [...STEPS],
      );
      const { entries } = bench;
      assert.equal((await bench.run("SN0000001")).result, "pass", `once more: ${bench.states()}`);
      assert.equal(bench.entries, entries, "and nothing changed");
      await bench.bench.stop();

      // every byte and floods of Ctrl-C at the locked port: nothing is evaluated
      const port = await Port.open(path);
      let said = "";
      port.listen((bytes) => {
        said += bytes.toString("latin1");
      });
      // but Ctrl-D, at which the Linux build itself ends, whoever has its console
      await port.write(Buffer.from(Array.from({ length: 256 }, (_, i) => (i === 4 ? 0 : i))));
      await port.write("\x03".repeat(2000));
      await port.write('\n\x10print("<#"+"open#>",require("Storage").read("key"))\n');
      // the refusal of that line; a slow interpreter comes to it late
      const refused = `E${REQUEST_UNKNOWN}`;
      for (const deadline = Date.now() + 60_000; !said.includes(refused) && Date.now() < deadline; )
        await sleep(100);
      assert.ok(said.includes(refused), said);
      assert.ok(!said.includes("<#open#>"), "the prompt is shut");
      const device = new Device(port, board);
      assert.equal((await device.identify()).mode, "locked");
      assert.equal(device.state.identity, "v1.meter.SN0000001");
      device.close();
    } finally {
      await bench.stop().catch(() => {});
      await pty.close();
    }
  });

  test("over telnet takes an image, and reads back what was sent", async () => {
    const child = await telnet(folder);
    try {
      const device = new Device(await Port.open("tcp://127.0.0.1:2323"), board);
      assert.equal((await device.identify()).mode, "prompt");
      device.checkBoard();
      const { files, bytes } = await imageOf("linux");
      await device.eraseFlash();
      assert.notDeepEqual(await device.wrongPages(bytes), []);
      await device.writePages(bytes);
      assert.deepEqual(await device.wrongPages(bytes), []);
      // and Storage finds its files in it
      for (const [name, data] of Object.entries(files)) {
        const ends = `(function(f){return btoa(f.length+f.substr(0,9)+f.substr(-9))})(require("Storage").read("${name}"))`;
        const wanted = data.length + data.slice(0, 9) + data.slice(-9);
        assert.equal(await ask(device.port, ends), Buffer.from(wanted, "latin1").toString("base64"), name);
      }
      // a page that is wrong is written once more
      const pages = device.slotPages(bytes).slice(0, 2);
      await device.erasePages(pages);
      assert.deepEqual(await device.wrongPages(bytes), pages);
      await device.writePages(bytes, () => {}, pages);
      assert.deepEqual(await device.wrongPages(bytes), []);
      device.close();
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("its prompt answers as the simulated board's", async () => {
    const child = await telnet(folder);
    const simulated = new SimulatedBoard({ board, chip: "00000000-addeadde-addeadde" });
    const ports = [await Port.open("tcp://127.0.0.1:2323"), await Port.open(await simulated.start())];
    try {
      const answers = [];
      for (const port of ports) answers.push(await session(port));
      assert.deepEqual(answers[1], answers[0]);
    } finally {
      for (const port of ports) port.close();
      await simulated.unplug();
      child.kill("SIGKILL");
    }
  });
});

/** What comes back for what is typed, without what is only drawn. */
async function session(port: Port): Promise<string[]> {
  const answers: string[] = [];
  // the telnet console says hello
  await sleep(200);
  const typed = [
    "\n",
    "1+1\n",
    "\x101+1\n",
    '\x10print("a","b")\n',
    '\x10print(E.sum("a\\xff"),E.sum(E.toUint8Array("a\\xff")))\n',
    "{\n",
    "\x03",
    "\n",
    "\x10if(1){\n",
    "print(2)}\n",
  ];
  for (const text of typed) {
    let said = "";
    const stop = port.listen((bytes) => {
      said += bytes.toString("latin1");
    });
    await port.write(text);
    await sleep(200);
    stop();
    answers.push(said.replace(/\x1b\[[A-Z]|\r(?!\n)/g, ""));
  }
  await findPrompt(port);
  answers.push(await ask(port, 'process.env.BOARD+" "+process.env.SERIAL'));
  await ask(port, 'require("Storage").write("some","\\xff\\x00 text")');
  const { storageStart } = board;
  answers.push((await readFlash(port, storageStart, 600))?.toString("hex") ?? "");
  await writeFlash(
    port,
    storageStart + 1024,
    Buffer.from("\xff".repeat(20) + "text" + "\xff".repeat(1000), "latin1"),
  );
  answers.push((await readFlash(port, storageStart + 1000, 1100))?.toString("hex") ?? "");
  return answers;
}

/** Start the interpreter with its telnet console, and wait until it listens. */
async function telnet(cwd: string): Promise<ChildProcess> {
  // standard input stays open: at its end the interpreter reads bytes of 255 for ever
  const [command, ...rest] = engineCommand();
  const child = spawn(command, [...rest, "--telnet"], { cwd, stdio: ["pipe", "ignore", "ignore"] });
  for (let attempt = 0; attempt < 100; attempt++) {
    const isUp = await new Promise((resolve) => {
      const socket = connect(2323, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
    if (isUp) break;
    await sleep(50);
  }
  return child;
}
