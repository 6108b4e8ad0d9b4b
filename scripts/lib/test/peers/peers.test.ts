/*
 * The table of servers held against the servers themselves, with OpenSSL's client: each takes the suites that its
 * row says and answers the others with the alert that its row says.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { EVERY_SUITE } from "../tls12/suites";
import { skipWithout } from "./install";
import { runProgram } from "./process";
import { PEERS, REFUSAL } from "./table";

const KEY = Buffer.from("8f1d0c5ab6e94d3790a2c4e66b1f7d58", "hex");
const IDENTITY = "v1.sensor.0001";
/** MQTT CONNECT of a client without an identifier, and the CONNACK that it must get. */
const MQTT_CONNECT = "100c00044d51545404020000" + "0000";
const MQTT_CONNACK = "20020000";

for (const peer of PEERS)
  test(`${peer.name}${peer.defaults ? " as it comes" : ""} takes the suites of its row`, {
    skip: peer.skip || skipWithout("openssl"),
  }, async () => {
    const server = await peer.start({ identity: IDENTITY, key: KEY, defaults: peer.defaults });
    try {
      for (const { code, openssl, name } of EVERY_SUITE) {
        const client = runProgram({
          command: "openssl",
          args: [
            "s_client",
            "-connect",
            `127.0.0.1:${server.port}`,
            "-tls1_2",
            "-quiet",
            "-no_ign_eof",
            "-cipher",
            `${openssl}:@SECLEVEL=0`,
            "-psk_identity",
            IDENTITY,
            "-psk",
            KEY.toString("hex"),
          ],
          input: peer.answers === "MQTT" ? Buffer.from(MQTT_CONNECT, "hex").toString("latin1") : "hello\n",
        });
        const takes = peer.takes.includes(code);
        const answer =
          peer.answers === "MQTT" ? Buffer.from(MQTT_CONNACK, "hex").toString("latin1") : "hello\n";
        const expected = takes ? answer : `alert number ${REFUSAL}`;
        const deadline = Date.now() + 5000;
        while (!client.output().includes(expected) && client.alive() && Date.now() < deadline)
          await delay(10);
        await client.stop();
        assert.ok(client.output().includes(expected), `${name}: ${client.output()}\n${server.output()}`);
      }
    } finally {
      await server.stop();
    }
  });
