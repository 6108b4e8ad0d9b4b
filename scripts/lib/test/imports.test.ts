// The project's own imports go the right way, and a wrong one is found.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "../bundle/build";
import { packagesBehind, wrongImports } from "./imports";

test("imports only go down", () => {
  const files = ["boards", "firmware", "hal", "scripts"].flatMap((folder) =>
    readdirSync(join(PROJECT, folder), { recursive: true, encoding: "utf8" }).map(
      (name) => `${folder}/${name}`,
    ),
  );
  const sources = files.filter((file) => /\.ts$/.test(file) && !/\.(test|d)\.ts$/.test(file));
  assert.ok(sources.length > 30);
  const wrong = sources.flatMap((file) => wrongImports(file, readFileSync(join(PROJECT, file), "utf8")));
  assert.deepEqual(wrong, []);
});

test("no command loads a package before it knows what it is to do: its --help is there at once", () => {
  const read = (path: string) =>
    existsSync(join(PROJECT, path)) ? readFileSync(join(PROJECT, path), "utf8") : undefined;
  const commands = readdirSync(join(PROJECT, "scripts")).filter((name) => /^\w+\.ts$/.test(name));
  assert.ok(commands.length > 15);
  for (const name of commands) assert.deepEqual(packagesBehind(`scripts/${name}`, read), []);
  const files: Record<string, string> = {
    "scripts/a.ts":
      'import type { X } from "rollup";\nimport {\n  b,\n} from "./lib/b";\nawait import("terser");\n',
    "scripts/lib/b.ts": 'import { join } from "node:path";\nimport mqtt from "mqtt";\n',
  };
  assert.deepEqual(
    packagesBehind("scripts/a.ts", (path) => files[path]),
    ["scripts/a.ts -> scripts/lib/b.ts -> mqtt"],
  );
});

const WRONG: readonly [string, string][] = [
  ["firmware/crypto/prf.ts", 'import { session } from "../tls/session";'],
  ["firmware/tls/session.ts", 'import { client } from "../mqtt/client";'],
  ["firmware/mqtt/client.ts", 'import { message } from "../main";'],
  ["firmware/mqtt/client.ts", 'import { command } from "../console/commands";'],
  ["firmware/app/application.ts", 'import { say } from "../console/console";'],
  ["firmware/ota/slots.ts", 'import { step } from "../app/application";'],
  ["firmware/store/journal.ts", 'section(import("../app/application")).step();'],
  ["firmware/bytes.ts", 'import { sha1 } from "./crypto/sha1";'],
  ["firmware/profile.ts", 'import { start } from "./main";'],
  ["firmware/tls/record.ts", 'import { aes } from "../../hal/espruino/native_aes";'],
  ["scripts/start.ts", 'import { aes } from "../hal/espruino/native_aes";'],
  ["hal/simulator/machine.ts", 'import { aes } from "../espruino/native_aes";'],
  ["firmware/main.ts", 'import { Machine } from "../hal/simulator/machine";'],
  ["firmware/main.ts", 'import { readFileSync } from "node:fs";'],
  ["firmware/main.ts", 'const x = section(import("../scripts/lib/bundle/build"));'],
  ["firmware/crypto/prf.ts", 'export const f = () => section(import("../tls/handshake"));'],
  ["hal/espruino/own_digest.ts", 'import { session } from "../../firmware/tls/session";'],
  ["boards/linux.ts", 'import { CBC_ENCRYPT } from "../hal/hal";'],
  ["scripts/size.ts", 'import { wrongImports } from "./lib/test/imports";'],
  ["scripts/bench.ts", 'import { Machine } from "../hal/simulator/machine";'],
  ["scripts/lib/bench/device.ts", 'import { Machine } from "../../../hal/simulator/machine";'],
  ["scripts/lib/bench/device.ts", 'import { SimulatedBoard } from "../simulate/simulated_board";'],
  ["scripts/lib/simulate/farm.ts", 'import { TestBench } from "../test/bench";'],
  ["scripts/lib/keys/kdf.ts", 'import { Master } from "../custody/master";'],
  ["scripts/lib/cli/exit.ts", 'await import("../files/lock");'],
  ["scripts/lib/ota/sign.ts", 'import { BUILD } from "../../ota";'],
];

for (const [file, text] of WRONG) {
  test(`a wrong import is found: ${text} in ${file}`, () => {
    const found = wrongImports(file, `// a line\n${text}\n`);
    assert.equal(found.length, 1);
    assert.equal(found[0].line, 2);
  });
}

test("what goes down or sideways is right", () => {
  const right: [string, string][] = [
    ["firmware/main.ts", 'import { connect } from "./tls/session";'],
    ["firmware/main.ts", 'section(import("./attempt"))();'],
    ["firmware/console/tell.ts", 'import { failures } from "../app/application";'],
    ["firmware/app/application.ts", 'section(import("../store/event_log")).note(1, 5, 0);'],
    ["firmware/tls/handshake.ts", 'section(import("../store/settings")).readSettings();'],
    ["firmware/mqtt/client.ts", 'import { connect } from "../tls/session";'],
    ["firmware/crypto/health_tests.ts", 'import { NOISE_DEAD } from "../tls/alert";'],
    [
      "firmware/crypto/ccm.ts",
      'import { aes } from "hal:aes128";\nimport { ECB_ENCRYPT } from "../../hal/hal";',
    ],
    [
      "hal/espruino/own_digest.ts",
      'import { sha1 } from "../../firmware/crypto/sha1";\nimport { x } from "./esp32_aes";',
    ],
    ["scripts/measure.ts", 'import { run } from "./lib/test/measure_command";'],
    ["scripts/size.ts", 'import { uint16 } from "../firmware/bytes";'],
    ["scripts/start.ts", 'import { NOISE_MODELS } from "../hal/simulator/noise";'],
    ["scripts/lib/bench/bench_command.ts", 'import type { Options } from "../../bench";'],
    ["boards/linux.ts", 'import type { Board } from "./board";'],
  ];
  for (const [file, text] of right) assert.deepEqual(wrongImports(file, text), [], text);
});
