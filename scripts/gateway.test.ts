// The gateway as people run it: signals, workers, what it prints and shows, command lines that contradict themselves.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Options } from "./gateway";
import { UsageError } from "./lib/cli/exit";
import { run as runGateway } from "./lib/gateway/gateway_command";
import { parseUpstream } from "./lib/gateway/upstream_place";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { startPlainMosquitto } from "./lib/test/doors";
import { skipWithout } from "./lib/test/peers/install";
import { freePort, listens, type RunningProgram, runProgram, waitUntilReady } from "./lib/test/peers/process";
import { nodeArguments } from "./lib/test/program";
import {
  knock,
  type MqttClient,
  mqttClient,
  open,
  operatorClient,
  run,
  WRONG_KEY,
} from "./lib/test/psk_client";

const folder = mkdtempSync(join(tmpdir(), "gateway-"));
after(() => rmSync(folder, { recursive: true }));
const master = randomKey();
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));
const file = (name: string, bytes: string | Buffer) => {
  const path = join(folder, name);
  writeFileSync(path, bytes, { mode: 0o600 });
  return path;
};
const masterFile = file("master", master);

interface Running extends RunningProgram {
  port: number;
  operatorPort: number;
  metricsPort: number;
  device(identity: string): Promise<MqttClient>;
  /** Wait until it has said this. */
  says(pattern: RegExp): Promise<void>;
}

async function start(more: string[]): Promise<Running> {
  const [port, operatorPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  const operator = more.includes("--upstream") ? [] : ["--operator-port", `${operatorPort}`];
  const args = ["--master", masterFile, "--listen", `127.0.0.1:${port}`, "--metrics-port", `${metricsPort}`];
  const program = runProgram({
    command: process.execPath,
    args: nodeArguments("scripts/gateway.ts", ...args, ...operator, ...more),
  });
  await waitUntilReady(program, "the gateway", () => /listens on/.test(program.output()) && listens(port));
  return {
    ...program,
    ...{ port, operatorPort, metricsPort },
    device: (identity) => mqttClient({ port }, identity, keyOf(identity)),
    async says(pattern) {
      while (!pattern.test(program.output())) {
        assert.ok(program.alive(), program.output());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

const metricsOf = async ({ metricsPort }: Running) => {
  const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  const text = await answer.text();
  return (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "m").exec(text)?.[1]);
};

test("R37 SIGHUP replaces the list, both ways; a bad one changes nothing; SIGTERM sends devices away, exit 0", async () => {
  const list = file("list", "# nobody yet\n");
  const gateway = await start(["--list", list, "--drain-ms", "100"]);
  const client = await gateway.device("v1.meter.SN1");
  file("list", "v1.meter.SN1\n");
  gateway.child.kill("SIGHUP");
  await client.ended;
  assert.equal(await knock(gateway, "v1.meter.SN1", keyOf("v1.meter.SN1")), WRONG_KEY);
  file("list", "v1.meter.SN1\nv1.meter\n");
  gateway.child.kill("SIGHUP");
  await gateway.says(/line 2: the identity "v1\.meter" is not .* The list stays as it was\./);
  file("list", "key-version 2\n");
  gateway.child.kill("SIGHUP");
  await gateway.says(/the list has been read: key version 2, 0 denied/);
  const again = await gateway.device("v1.meter.SN1");
  const newer = await gateway.device("v2.meter.SN2");
  gateway.child.kill("SIGTERM");
  await Promise.all([again.ended, newer.ended]);
  assert.equal(await gateway.exited, 0);
});

test("R36 refusals are told once a second, counted by reason, and no line comes before CONNECT", async () => {
  const gateway = await start([]);
  for (let i = 0; i < 30; i++) {
    const { socket, closed } = await open(gateway);
    socket.end("GET / HTTP/1.1\r\n\r\n");
    await closed;
  }
  await knock(gateway, "v1.meter.SN1", keyOf("v1.meter.SN1"));
  await gateway.says(/refused \d+: \d+ what came is no ClientHello/);
  const metrics = await metricsOf(gateway);
  assert.equal(metrics("gateway_refused_total"), 30);
  assert.equal(metrics("gateway_handshakes_total"), 1);
  assert.equal(metrics("gateway_connects_total"), 0);
  assert.doesNotMatch(gateway.output(), /SN1/);
  assert.ok(gateway.output().split("\n").length < 30);
  assert.equal((await fetch(`http://127.0.0.1:${gateway.metricsPort}/ready`)).status, 200);
  assert.equal((await fetch(`http://127.0.0.1:${gateway.metricsPort}/else`)).status, 404);
  await gateway.stop();
});

test("what is retained and acknowledged is there after a kill", async () => {
  const store = join(folder, "store");
  const first = await start(["--store", store]);
  const client = await first.device("v1.meter.SN1");
  for (let i = 0; i < 16; i++) await client.publish(`meter/SN1/up/${i}`, `${i}`, { qos: 1, retain: true });
  first.child.kill("SIGKILL"); // as soon as the last PUBACK is here
  await first.exited;
  const second = await start(["--store", store]);
  const operator = await operatorClient(second.operatorPort);
  await operator.subscribe("meter/SN1/up/#");
  const seen = new Set<string>();
  for (let i = 0; i < 16; i++) seen.add(await operator.heard());
  assert.deepEqual(seen, new Set(Array.from({ length: 16 }, (_, i) => `meter/SN1/up/${i} ${i}`)));
  operator.end();
  await second.stop();
});

test("--workers: one port, one list and one sum of metrics for all; one that is killed comes again", {
  skip: skipWithout("mosquitto"),
}, async () => {
  const broker = await startPlainMosquitto();
  const list = file("workers-list", "");
  const upstream = ["--upstream", `mqtt://127.0.0.1:${broker.port}`, "--workers", "2"];
  const gateway = await start([...upstream, "--list", list, "--drain-ms", "100"]);
  const clients = await Promise.all([1, 2, 3, 4].map((i) => gateway.device(`v1.meter.SN${i}`)));
  const metrics = await metricsOf(gateway);
  assert.equal(metrics("gateway_connects_total"), 4);
  assert.equal(metrics("gateway_sessions"), 4);
  file("workers-list", "v1.meter.SN1\nv1.meter.SN2\nv1.meter.SN3\nv1.meter.SN4\n");
  gateway.child.kill("SIGHUP");
  await Promise.all(clients.map(({ ended }) => ended));
  for (let i = 0; i < 4; i++)
    assert.equal(await knock(gateway, "v1.meter.SN1", keyOf("v1.meter.SN1")), WRONG_KEY);
  const { output } = await run("pgrep", ["-P", `${gateway.child.pid}`]);
  const worker = Number(output.split("\n")[0]);
  process.kill(worker, "SIGKILL");
  for (let up = 0; up < 2; ) {
    const { output } = await run("pgrep", ["-P", `${gateway.child.pid}`]);
    up = output.split("\n").filter((pid) => pid !== "" && Number(pid) !== worker).length;
  }
  (await gateway.device("v1.meter.SN5")).end();
  gateway.child.kill("SIGTERM");
  assert.equal(await gateway.exited, 0);
  await broker.stop();
});

test("what contradicts itself, or cannot be: one sentence, exit 2", async () => {
  const upstream = [{ host: "127.0.0.1", port: 1883 }];
  const listen = { host: "127.0.0.1", port: 1 };
  const cases: [options: Partial<Options>, sentence: RegExp][] = [
    [{ workers: 2 }, /--workers needs --upstream/],
    [{ upstream, store: "x" }, /--store is for the broker inside/],
    [{ upstream, "operator-port": 1883 }, /an operator speaks to the broker itself/],
    [{ "upstream-credentials": "x" }, /--upstream-credentials needs --upstream/],
    [{ upstream, "upstream-credentials": file("none", "name\n") }, /does not hold NAME:PASSWORD/],
    [{ store: join(folder, "not", "there") }, /cannot/],
    [{ list: join(folder, "nothing") }, /there is no such file/],
    [{ upstream, workers: 2, "passphrase-fd": ["0"] }, /so give a file/],
    [{ listen: { host: "127.0.0.1", port: 8883 }, "akep2-port": 8883 }, /AKEP2 wants one of its own/],
    [
      { upstream, workers: 2, scheme: "an10922", "akep2-port": 0 },
      /the scheme an10922 has one key for each device/,
    ],
  ];
  for (const [options, sentence] of cases)
    await assert.rejects(runGateway({ master: masterFile, listen, ...options }), (error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, sentence);
      return true;
    });
  for (const text of ["mqtt://name:word@127.0.0.1", "http://127.0.0.1", "mqtt://127.0.0.1:0", "mqtt://"])
    assert.throws(() => parseUpstream(text), UsageError, text);
  const all = ["--master", masterFile, "--half-open", "0"];
  const { code, output } = await run(process.execPath, nodeArguments("scripts/gateway.ts", ...all));
  assert.match(output, /^gateway: --half-open: "0" is not a whole number from 1 to 1000000\.\n$/);
  assert.equal(code, 2);
});
