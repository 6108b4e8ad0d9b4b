// Tables of keys for servers that derive none: Mosquitto, stunnel and RabbitMQ behind it let the devices in with them, and nothing
// leaks. EMQX is no Debian package: of its acl.conf the form is tested.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { startPlainMosquitto } from "../test/doors";
import { findProgram, hasProgram, skipWithout } from "../test/peers/install";
import { freePort, type StartedPeer, startPeer, WorkFolder } from "../test/peers/process";
import { skipWithoutRabbitmq, startRabbitmq } from "../test/peers/rabbitmq";
import { nodeArguments } from "../test/program";
import { mqttClient, run } from "../test/psk_client";
import { exportKeys } from "./key_export";

const folder = mkdtempSync(join(tmpdir(), "export-"));
after(() => rmSync(folder, { recursive: true }));
const master = randomKey();
const masterFile = join(folder, "master");
writeFileSync(masterFile, master, { mode: 0o600 });
const keyOf = (identity: string) => deriveDeviceKey(master, parseIdentity(identity));
const range = { product: "meter", serials: { first: "SN1", last: "SN3" } };

test("R25 the files are 0600, never written over, and no key is printed", async () => {
  const out = join(folder, "cli");
  const args = [
    "export",
    "--master",
    masterFile,
    "--format",
    "emqx",
    "--product",
    "meter",
    "--serials",
    "SN1..SN3",
  ];
  const program = nodeArguments("scripts/keys.ts", ...args, "--out", out);
  const first = await run(process.execPath, program);
  assert.equal(first.code, 0, first.output);
  assert.match(
    first.output,
    /^3 devices: .*cli\.psk, .*cli\.acl\.conf\nWhoever reads that is each of these devices/,
  );
  const table = readFileSync(`${out}.psk`, "utf8");
  assert.equal(table.split("\n")[1], `v1.meter.SN2:${keyOf("v1.meter.SN2").toString("hex")}`);
  assert.equal(statSync(`${out}.psk`).mode & 0o777, 0o600);
  assert.ok(!first.output.includes(keyOf("v1.meter.SN2").toString("hex")));
  const second = await run(process.execPath, program);
  assert.equal(second.code, 2);
  assert.match(second.output, /cli\.psk/);
  assert.equal(readFileSync(`${out}.psk`, "utf8"), table);
});

test("Mosquitto lets them in, each to its own topics", { skip: skipWithout("mosquitto") }, async () => {
  const out = join(folder, "mosquitto");
  await exportKeys({ master: masterFile, format: "mosquitto", out, ...range });
  const port = await freePort();
  const work = new WorkFolder();
  const lines = [
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    `listener ${port} 127.0.0.1`,
    ...["psk_hint fleet", "use_identity_as_username true", "ciphers PSK:@SECLEVEL=0", "tls_version tlsv1.2"],
    ...[`psk_file ${out}.psk`, `acl_file ${out}.acl`],
  ];
  const args = ["-c", work.file("mosquitto.conf", `${lines.join("\n")}\n`)];
  const command = findProgram("mosquitto") as string;
  const broker = await startPeer("mosquitto", { command, args, folder: work }, port);
  const [one, two] = [await device(port, "v1.meter.SN1"), await device(port, "v1.meter.SN2")];
  await one.subscribe("meter/SN1/#");
  await two.publish("meter/SN1/up/x", "another's", { qos: 1 });
  await one.publish("meter/SN1/ota", "its own manifest", { qos: 1 });
  await one.publish("meter/SN1/up/x", "its own", { qos: 1 });
  assert.equal(await one.heard(), "meter/SN1/up/x its own");
  one.end();
  two.end();
  await broker.stop();
});

test("stunnel lets them in, before any broker", { skip: skipWithout("stunnel4", "mosquitto") }, async () => {
  await throughStunnel("stunnel", await startPlainMosquitto());
});

test("stunnel lets them in to RabbitMQ", {
  skip: skipWithout("stunnel4") || skipWithoutRabbitmq(),
}, async () => {
  await throughStunnel("rabbitmq", await startRabbitmq());
});

/** Let a device in by a format's table, up to a PUBLISH that it hears itself. */
async function throughStunnel(format: "stunnel" | "rabbitmq", broker: StartedPeer): Promise<void> {
  const out = join(folder, format);
  await exportKeys({ master: masterFile, format, out, ...range });
  const port = await freePort();
  const work = new WorkFolder();
  const lines = [
    "foreground = yes",
    "pid =",
    "[psk]",
    `accept = 127.0.0.1:${port}`,
    `connect = 127.0.0.1:${broker.port}`,
  ];
  const configuration = work.file(
    "stunnel.conf",
    `${lines.join("\n")}\nciphers = PSK:@SECLEVEL=0\nPSKsecrets = ${out}.psk\n`,
  );
  const command = findProgram("stunnel4") as string;
  const stunnel = await startPeer("stunnel4", { command, args: [configuration], folder: work }, port);
  const client = await device(port, "v1.meter.SN3");
  await client.subscribe("meter/SN3/up/x");
  await client.publish("meter/SN3/up/x", "its own", { qos: 1 });
  assert.equal(await client.heard(), "meter/SN3/up/x its own");
  client.end();
  await assert.rejects(device(port, "v1.meter.SN4"), "no serial of the table");
  await stunnel.stop();
  await broker.stop();
}

test("EMQX's rules have the form of its acl.conf, the last denies the rest, and no name gets out of its string", async () => {
  const out = join(folder, "emqx");
  await exportKeys({ master: masterFile, format: "emqx", out, ...range });
  const lines = readFileSync(`${out}.acl.conf`, "utf8").trimEnd().split("\n");
  // {perm(), who(), action(), [topic_match()]} or {perm(), all}
  const rule =
    /^\{allow, \{clientid, "meter-SN(\d)"\}, (publish|subscribe), \["meter\/SN\1\/[a-z/]*#?", "[a-zA-Z0-9/]+#?"\]\}\.$/;
  assert.equal(lines.pop(), "{deny, all}.");
  assert.equal(lines.length, 6);
  for (const line of lines) assert.match(line, rule);
  if (hasProgram("erl")) {
    const evaluate = `{ok, Rules} = file:consult("${out}.acl.conf"), io:format("~b", [length(Rules)]), halt().`;
    assert.equal((await run("erl", ["-noshell", "-eval", evaluate])).output, "7");
  }
  for (const product of ['a"b', `a\${clientid}`, "a\\b"])
    await assert.rejects(
      exportKeys({ master: masterFile, format: "emqx", out: join(folder, "bad"), ...range, product }),
      /acl\.conf takes no product/,
    );
});

function device(port: number, identity: string) {
  return mqttClient({ port }, identity, keyOf(identity));
}
