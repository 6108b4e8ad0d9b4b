// A product of one's own as a stranger makes it: each line of firmware/product/README.md, in its order, in a folder beside the project; and
// what is wrong with it: a sentence, exit 2, nothing lost.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import mqtt from "mqtt";
import { board as esp32 } from "../boards/esp32-sim";
import { SimulatedBoard } from "./lib/simulate/simulated_board";
import { commandsOf, PAGES } from "./lib/test/pages";
import { skipWithout } from "./lib/test/peers/install";
import { freePort } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";

const PAGE = "firmware/product/README.md";
const COMMANDS = commandsOf(PAGE, PAGES.get(PAGE) as string);
// a path that is none of a URL's
const folder = mkdtempSync(join(tmpdir(), "product of 100% "));
after(() => rmSync(folder, { recursive: true }));
const main = join(folder, "my-product/main.ts");

/** The page's command that has these words, in our folder. */
function onPage(...words: string[]): string[] {
  const found = COMMANDS.find(({ text }) => words.every((word) => text.includes(word)));
  assert.ok(found, `${PAGE} has ${words.join(" ")}`);
  return nodeArguments(
    found.script,
    ...found.args.map((arg) => arg.replace("../my-product", join(folder, "my-product"))),
  );
}

/** A command, and a function that only it calls. */
const COMMAND = `function twice(value: any): string {
  return value + value.nothing.all;
}
export function command(name: string, payload: string): string {
  return name === "who" ? "here" : twice(payload);
}
`;

interface Outcome {
  code: number | null;
  output: string;
}

/** Run it to its end; `onOutput` sees what it has said so far, and may type lines in and end it. */
function run(
  args: string[],
  onOutput: (output: string, type: (line: string) => void, end: () => void) => void = () => {},
  command = process.execPath,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env: { ...process.env, XDG_CONFIG_HOME: join(folder, "config") } });
    let output = "";
    const take = (chunk: Buffer) => {
      output += chunk;
      onOutput(
        output,
        (line) => void child.stdin.write(`${line}\n`),
        () => void child.kill("SIGINT"),
      );
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("close", (code) => resolve({ code, output }));
  });
}

/** Steps, each begun when what the one before led to is there. */
function steps(
  ...all: [RegExp, (type: (line: string) => void, end: () => void, found: RegExpExecArray) => void][]
) {
  let from = 0;
  return (output: string, type: (line: string) => void, end: () => void) => {
    for (let found: RegExpExecArray | null; all[0] && (found = all[0][0].exec(output.slice(from))); ) {
      from += found.index + found[0].length;
      (all.shift() as (typeof all)[number])[1](type, end, found);
    }
  };
}

describe("from an empty folder to a temperature on a broker", { timeout: 600_000 }, () => {
  test("new makes a folder, and no second time", async () => {
    const { code, output } = await run(onPage("product", "new"));
    assert.equal(code, 0, output);
    const again = await run(onPage("product", "new"));
    assert.equal(again.code, 2);
    assert.match(again.output, /is there already, and not empty/);
  });

  test("check takes it and says what it costs; its test passes", async () => {
    const checked = await run(onPage("product", "check"));
    assert.equal(checked.code, 0, checked.output);
    assert.match(checked.output, /the product takes \d+ bytes, all of it \d+, \d+ are left/);
    const tested = await run(onPage("product", "test"));
    assert.equal(tested.code, 0, tested.output);
    assert.match(tested.output, /it publishes what the sensor measures/);
  });

  test("start shows it, takes what the page says may be typed, and boots what is saved; its broker has the temperature", async () => {
    let onBroker: Promise<string> | undefined;
    let thrownAt = "";
    const { code, output } = await run(
      onPage("start", "--product"),
      steps(
        [
          /plain MQTT of this machine at (\S+):(\d+)/,
          (_type, _end, [, host, port]) => {
            const client = mqtt.connect({ host, port: Number(port) });
            client.subscribe("#");
            onBroker = new Promise((resolve) =>
              client.on("message", (topic, payload) => {
                if (!topic.endsWith("/up/temperature")) return;
                resolve(payload.toString());
                client.end();
              }),
            );
          },
        ],
        [/up\/status/, (type) => void [type("i2c 0x48 21 128"), type("pass 10")]],
        [/up\/temperature 21\.5/, (type) => void [type("pin D5 1"), type("pin D99 1"), type("fly")]],
        [/D5 is 1\n[\s\S]*there is no pin D99[\s\S]*"fly" is none of/, (type) => type("power")],
        [/power +off[\s\S]*up\/status/, () => writeFileSync(main, `${readFileSync(main, "utf8")}oops(\n`)],
        [
          /main\.ts:\d+: this is no TypeScript/,
          () => writeFileSync(main, readFileSync(main, "utf8").replace("oops(\n", COMMAND)),
        ],
        [/up\/status/, (type) => type("down who is")],
        [/up\/who here/, (type) => type("down other x")],
        [
          /threw +TypeError: [^\n]*'all'[^\n]*, at [^\n]*main\.ts:(\d+)\n +return value \+ value\.nothing\.all;[\s\S]*E47/,
          (_type, end, [, number]) => {
            thrownAt = readFileSync(main, "utf8").split("\n")[Number(number) - 1];
            end();
          },
        ],
      ),
    );
    assert.equal(code, 0, output);
    assert.equal(await onBroker, "21.5");
    assert.match(thrownAt, /value\.nothing\.all/);
  });

  test("onto a board, over the air from a gateway with its own keys, and its temperature", {
    skip: skipWithout("mosquitto_sub"),
  }, async () => {
    const board = new SimulatedBoard({
      ...{ board: esp32, chip: "chip", lineRate: 10_000_000, machine: { network: { up: false } } },
    });
    board.machine.pins.i2c.set(0x48, { write: () => {}, read: () => Buffer.from([21, 128]) });
    const [gateway, operators] = [await freePort(), await freePort()];
    const server = `127.0.0.1:${gateway}`;
    writeFileSync(join(folder, "password"), "a password\n", { mode: 0o600 });
    const setup = await run(
      nodeArguments(
        ...([
          "scripts/setup.ts",
          "--port",
          await board.start(),
          "--ssid",
          "home",
          "--server",
          server,
        ] as const),
        ...["--passphrase-file", join(folder, "password")],
      ),
    );
    assert.equal(setup.code, 0, setup.output);
    const ends: (() => void)[] = [];
    const over: Promise<Outcome>[] = [];
    const untilSaid = (
      child: (onOutput: (output: string, end: () => void) => void) => Promise<Outcome>,
      what: RegExp,
    ) =>
      new Promise<void>((resolve) => {
        let isKept = false;
        over.push(
          child((output, end) => {
            if (!isKept) ends.push(end);
            isKept = true;
            if (what.test(output)) resolve();
          }),
        );
      });
    try {
      // on ports of our own, and for this machine alone
      const page = onPage("gateway", "--home").filter((arg) => !["--host", "0.0.0.0"].includes(arg));
      const ports = ["--listen", server, "--operator-port", String(operators)];
      await untilSaid(
        (look) => run([...page, ...ports], (output, _type, end) => look(output, end)),
        /v1\.demo\.SN0000001 connected/,
      );
      const [, line] = /^mosquitto_sub (.*)$/m.exec(PAGES.get(PAGE) as string) ?? [];
      const words = line.replaceAll("'", "").split(" ");
      const temperature = untilSaid(
        (look) =>
          run(
            [...words, "-p", String(operators)],
            (output, _type, end) => look(output, end),
            "mosquitto_sub",
          ),
        /^demo\/SN0000001\/up\/temperature 21\.5$/m,
      );
      const pushed = await run([...onPage("push", "--product"), "--broker", `127.0.0.1:${operators}`]);
      assert.equal(pushed.code, 0, pushed.output);
      assert.match(pushed.output, /it runs .*my-product/);
      await board.machine.later(11_000);
      await temperature;
    } finally {
      for (const end of ends) end();
      await Promise.all(over);
      await board.unplug();
    }
  });

  test("what is wrong with it is a sentence with file, line and what to do, exit 2", async () => {
    appendFileSync(main, "export const all = new Map();\n");
    const line = readFileSync(main, "utf8").trimEnd().split("\n").length;
    const { code, output } = await run(onPage("product", "check"));
    assert.equal(code, 2, output);
    assert.match(output, new RegExp(`main\\.ts\\(${line},\\d+\\): error TS\\d+: Cannot find name 'Map'`));
    const empty = join(folder, "empty.ts");
    writeFileSync(empty, "// a product one day\n");
    for (const [args, sentence] of [
      [["scripts/start.ts", "--product", join(folder, "nowhere.ts")], /there is no product/],
      [["scripts/start.ts", "--product", empty], /exports nothing that a product has: .* start, online, /],
      [["scripts/start.ts", "--product", "valve", "--ota"], /--ota is not for it|--product is not for it/],
      [["scripts/product.ts", "check", join(folder, "nowhere")], /there is no product/],
      [["scripts/product.ts", "check", main, "--board", "esp33"], /esp32/],
      [["scripts/product.ts", "test", folder], /there is no test in/],
      [["scripts/product.ts", "old"], /none of new, check, test/],
    ] as const) {
      const [script, ...rest] = args;
      const refused = await run(nodeArguments(script, ...rest));
      assert.equal(refused.code, 2, refused.output);
      assert.match(refused.output, sentence);
    }
  });
});
