// Where Mosquitto's plugin takes the master from, and what it says when something is wrong with it: a file, a systemd
// credential, a token. What devices meet behind it is in doors.test.ts.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { createTokenKey, parseTokenUri } from "../custody/token";
import { leafOf, treeRoot } from "../keys/epoch_tree";
import { parseIdentity } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { randomKey } from "../keys/weak_keys";
import { TestDevice } from "../test/device";
import { PLUGIN_FOLDER, skipWithoutPlugin, startPluginDoor } from "../test/doors";
import { waitUntil } from "../test/peers/process";
import { knock, mqttClient, mqttOver, operatorClient, sClient, secure, WRONG_KEY } from "../test/psk_client";
import { makeTokens, SOFTHSM, skipWithoutToken, tokenUri } from "../test/token";

const folder = mkdtempSync(join(tmpdir(), "plugin-"));
after(() => rmSync(folder, { recursive: true }));
const master = randomKey();
const DEVICE = "v1.meter.SN1";
const KEY = deriveDeviceKey(master, parseIdentity(DEVICE));

const keyOf13 = (identity: string) => deriveDeviceKey(master, parseIdentity(identity), "kdf", "psk13");

const file = (name: string, bytes: string | Buffer, mode = 0o600) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  chmodSync(path, mode);
  return path;
};

describe("Mosquitto's plugin", { skip: skipWithoutPlugin() }, () => {
  test("the plugin is at most 400 lines", () => {
    const lines = readFileSync(join(PLUGIN_FOLDER, "psk_plugin.c"), "utf8").trimEnd().split("\n").length;
    assert.ok(lines <= 400, `${lines} lines`);
  });

  test("the master from a file of 16 bytes, and from a systemd credential", async () => {
    file("psk-master", `${master.toString("hex")}\n`, 0o400);
    for (const [options, env] of [
      [{ master: file("raw", master) }, {}],
      [{ credential: "psk-master" }, { CREDENTIALS_DIRECTORY: folder }],
    ] as const) {
      const door = await startPluginDoor("key-version 1\n", () => options as Record<string, string>, env);
      const client = await mqttClient(door, DEVICE, KEY);
      client.end();
      await door.stop();
    }
  });

  test("R37 a resumed session, which no key was asked for, gets no further than CONNECT", async () => {
    const door = await startPluginDoor("", () => ({ master: file("raw2", master) }));
    const first = await secure(door, DEVICE, KEY);
    const session = first.getSession();
    await mqttOver(first, { clientId: "meter-SN1" });
    const second = await secure(door, DEVICE, KEY, session);
    assert.ok(second.isSessionReused());
    await assert.rejects(mqttOver(second, { clientId: "meter-SN1" }), /return code 5|closed/);
    first.destroy();
    await door.stop();
  });

  test("R4 under TLS 1.3 alone it derives keys of the label psk13, for a device of that profile; no other key, and no epoch, gets in", async () => {
    const OPENSSL_CONF = join(process.cwd(), PLUGIN_FOLDER, "openssl_tls13.cnf");
    const door = await startPluginDoor("", () => ({ master: file("raw13", master) }), { OPENSSL_CONF });
    const key = keyOf13(DEVICE);
    const operator = await operatorClient(door.operatorPort);
    await operator.subscribe("meter/#");
    const device = await TestDevice.boot("esp32-sim", {
      entry: "firmware/main.ts",
      profile: "tls13",
      ...{ identity: DEVICE, key, port: door.port },
    });
    try {
      assert.match(await operator.heard(), /^meter\/SN1\/state|^meter\/SN1\/up\/status/, device.lines.join());
      const tried = async (identity: string, key: Buffer) =>
        (await sClient(door, identity, key, ["-tls1_3", "-allow_no_dhe_kex"])).output;
      assert.match(await tried(DEVICE, KEY), /alert number/, "the key of TLS 1.2");
      const leaf = leafOf(treeRoot(master, DEVICE), 3);
      assert.match(await tried(`${DEVICE}.e3`, leaf), /alert number/, "a tree's key");
      assert.match(await tried("v1.meter.SN2", keyOf13("v1.meter.SN2")), /TLSv1\.3, Cipher is TLS_AES_128/);
    } finally {
      device.powerOff();
      operator.end();
      await door.stop();
    }
  });

  test("R18 a handshake that fails before Mosquitto knows of its connection leaves nothing: the list is read again, and nobody has its name", async () => {
    const OPENSSL_CONF = join(process.cwd(), PLUGIN_FOLDER, "openssl_tls13.cnf");
    // what is freed is no text that ends
    const door = await startPluginDoor("", () => ({ master: file("raw14", master) }), {
      ...{ OPENSSL_CONF, MALLOC_PERTURB_: "165" },
    });
    const helloOf = async (): Promise<Buffer> => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const hello = new Promise<Buffer>((resolve) =>
        server.once("connection", (socket) =>
          socket.once("data", (data) => (socket.destroy(), resolve(data))),
        ),
      );
      const { port } = server.address() as AddressInfo;
      await sClient({ port }, DEVICE, randomKey(), ["-tls1_3", "-allow_no_dhe_kex"]);
      server.close();
      return hello;
    };
    const hello = await helloOf();
    for (let times = 0; times < 8; times++) {
      // all of the ClientHello is there when Mosquitto accepts the connection
      door.signal("SIGSTOP");
      const socket = connect(door.port, "127.0.0.1");
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.on("error", () => {}).resume();
      await new Promise((resolve) => socket.write(hello, resolve));
      door.signal("SIGCONT");
      await closed;
    }
    await door.setList("key-version 9\n");
    await door.setList("");
    const { output } = await sClient(door, DEVICE, keyOf13(DEVICE), ["-tls1_3", "-allow_no_dhe_kex"]);
    assert.match(output, /TLSv1\.3, Cipher is TLS_AES_128/);
    await door.stop();
  });

  test("the master in a token; one that is pulled while it runs refuses all alike, the broker says so and lives, and SIGHUP opens it again", {
    skip: skipWithoutToken(),
  }, async () => {
    const pin = "73519-pin";
    await makeTokens(folder, { door: pin });
    const uri = parseTokenUri(tokenUri("door", "psk"));
    (await createTokenKey(uri, Buffer.from(pin), "psk", "kdf", master)).key.close();
    const options = {
      ...{
        pkcs11_module: SOFTHSM,
        pkcs11_token: "door",
        pkcs11_key: "psk",
        pkcs11_pin: file("pin", `${pin}\n`),
      },
    };
    const door = await startPluginDoor("", () => options);
    assert.equal(await knock(door, DEVICE, KEY), "in");
    assert.equal(await knock(door, DEVICE, randomKey()), WRONG_KEY);
    assert.equal(await knock(door, "v9.meter.SN1", randomKey()), WRONG_KEY);
    // Pulled while it runs: SoftHSM finds its files gone, as a reader finds its slot empty.
    const [tokens, pulled] = [join(folder, "tokens"), join(folder, "pulled")];
    const connected = await mqttClient(door, DEVICE, KEY);
    const waiting = await secure(
      door,
      "v1.meter.SN2",
      deriveDeviceKey(master, parseIdentity("v1.meter.SN2")),
    );
    renameSync(tokens, pulled);
    for (const identity of [DEVICE, "v1.meter.SN3", "v9.meter.SN1"])
      assert.equal(await knock(door, identity, KEY), WRONG_KEY, identity);
    const sentence = /psk_plugin: the token cannot be used \(0x\w+\): everyone is refused until it is back/;
    await waitUntil("a sentence on the token", async () => sentence.test(door.output()));
    // Who has a connection keeps it, and is not asked for a key.
    connected.send({ cmd: "pingreq" });
    assert.equal((await connected.next()).cmd, "pingresp");
    (await mqttOver(waiting, { clientId: "meter-SN2" })).end();
    await door.setList("");
    assert.match(door.output(), /psk_plugin: the PKCS#11 module .* cannot be used/); // SoftHSM without its folder
    assert.equal(await knock(door, DEVICE, KEY), WRONG_KEY, "reloaded without it");
    renameSync(pulled, tokens);
    await door.setList("");
    assert.equal(await knock(door, DEVICE, KEY), "in", "back");
    connected.send({ cmd: "pingreq" });
    assert.equal((await connected.next()).cmd, "pingresp");
    await door.stop();
    for (const [change, sentence] of [
      [{ pkcs11_pin: file("wrong", "00000-pin") }, /the token door with the key psk: does not open \(0xa0\)/],
      [{ pkcs11_token: "doo" }, /does not open \(0xe0\)/],
      [{ pkcs11_key: "other" }, /does not open/],
      [{ pkcs11_module: "/none.so" }, /the PKCS#11 module \/none\.so cannot be used/],
    ] as const)
      await assert.rejects(
        startPluginDoor("", () => ({ ...options, ...change })),
        sentence,
      );
  });

  test("what is wrong with the master, the list or the options: one sentence, and no broker", async () => {
    const good = file("good", master);
    const cases: [
      options: Record<string, string>,
      sentence: RegExp,
      list?: string,
      env?: Record<string, string>,
    ][] = [
      [{ master: join(folder, "nothing") }, /cannot read the master .*nothing: No such file/],
      [{ master: file("open", master, 0o644) }, /can be read by others/],
      [{ master: file("short", master.subarray(1)) }, /neither 16 bytes nor 32 hex digits/],
      [{ master: file("text", "g".repeat(32)) }, /neither 16 bytes nor 32 hex digits/],
      [{ master: file("zero", Buffer.alloc(16)) }, /one byte repeated/],
      [{ master: good, credential: "x" }, /exactly one of/],
      [{ list_: "x" }, /plugin_opt_list_ is no option/],
      [{ credential: "x" }, /systemd has given no credentials/],
      [{ pkcs11_module: SOFTHSM }, /a token needs/],
      [{ master: good }, /fleet\.list, line 2 is neither/, "key-version 2\nv1.meter\n"],
      [{ master: good }, /line 1 is neither/, "key-version 0\n"],
      [{ master: good }, /start with OPENSSL_CONF/, "", { OPENSSL_CONF: "/dev/null" }],
    ];
    for (const [options, sentence, list = "", env = {}] of cases) {
      await assert.rejects(
        startPluginDoor(list, () => options, env),
        sentence,
      );
    }
  });
});
